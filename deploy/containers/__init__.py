"""The proof that docker-compose.yml works, for a machine without a Docker engine: see README.md beside this."""

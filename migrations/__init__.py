"""Alembic revisions in plain SQL, each with its downgrade."""

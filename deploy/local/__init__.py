"""The whole fleet on one machine: its database, cache, chain, simulators and services, started and stopped by `pgp`."""

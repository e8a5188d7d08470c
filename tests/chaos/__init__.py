"""Chaos: the real fleet on this machine, its buyers and owners, and everything that can go wrong meanwhile; `make chaos`."""

"""Watches the exchange and the chain; holds no key."""

"""Decides when our coins may leave, and closes payouts when they have arrived."""

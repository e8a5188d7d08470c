"""Leads a payout from reserved money to an exchange that waits for it."""

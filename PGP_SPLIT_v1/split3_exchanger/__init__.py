"""Makes the exchange's order for a payout and checks every word of it."""

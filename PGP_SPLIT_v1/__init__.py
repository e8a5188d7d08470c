"""Prices and exchanges a payout: reserved USDT comes in, an exchange that waits for it goes out to HOSTPAY1."""

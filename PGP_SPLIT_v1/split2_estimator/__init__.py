"""Asks the exchange what a payout's USDT buys in the owner's coin."""

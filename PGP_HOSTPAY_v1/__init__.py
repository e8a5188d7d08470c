"""Sends our coins on chain and waits for them.

In come swaps and direct payouts that are ready to be funded, and hashes of money that should have arrived.
HOSTPAY1 decides when coins may leave and closes what they paid for, HOSTPAY2 watches the exchange and the chain without a key,
HOSTPAY3 alone signs, keeps, sends and watches the wallet's transactions.
Out go ended transfers and swaps: settled or released payouts, finished conversions, notices to owners.
"""

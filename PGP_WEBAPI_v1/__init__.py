"""The owners' REST API.

In: requests of channel owners, over HTTPS, with a JWT.
Out: rows of accounts, channels, tiers and payout details; mails and messages as work for NOTIFICATIONS.
Acts: the owner. Nothing here moves money; it only says where it should go.
"""

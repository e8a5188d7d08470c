"""ChangeNOW as a program: its HTTP API, pay-in addresses that it watches on the local chain, and payouts that are really made there."""

"""Gives every owner who has earned enough one payout."""

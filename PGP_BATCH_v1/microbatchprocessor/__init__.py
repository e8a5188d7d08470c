"""Turns what owners earned into USDT, and shares out what arrived."""

"""Confirms payments with the vendor, credits each once, finds what notices missed, and wakes what nobody answered for."""

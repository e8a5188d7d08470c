"""Tells owners and buyers what happened."""

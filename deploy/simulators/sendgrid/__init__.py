"""Simulates SendGrid's mail sending."""

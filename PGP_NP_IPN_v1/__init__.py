"""The payment vendor's webhook and the payment page."""

"""The payment vendor's webhook, and the page that shows a buyer where his payment is."""

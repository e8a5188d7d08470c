"""The Telegram bot.

In: what people write and press, who asks to join, who joined or left; the clock.
Out: orders with their invoices, messages, approvals, removals.
Acts: the buyer; and the clock, when his time is over.
"""

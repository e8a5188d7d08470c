"""The way in.

In: an invite that a paid order planned.
Out: a link in the buyer's chat with the bot.
Acts: we do; then the buyer, who asks to join.
"""

"""Posts and notifications.

In: notices and mails that other services wrote down, the clock, an owner's wish to post.
Out: messages of the bot, mails.
Acts: nobody but us; what cannot be delivered is noted, and an owner sees it.
"""

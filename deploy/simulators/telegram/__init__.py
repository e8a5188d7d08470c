"""Simulates Telegram as a bot sees it: the Bot API, the webhook sender, and a small world of users and chats."""

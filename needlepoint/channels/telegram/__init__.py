"""Conversations in private Telegram chats: long polling or webhook, one inbox, one order, every delivery known."""

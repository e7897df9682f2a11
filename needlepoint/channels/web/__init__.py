"""The website's chat: an HTTP API with server-sent events, and the chat page."""

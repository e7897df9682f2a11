"""Keys of the channel: a leaked database tells neither who wrote nor what waits to be sent."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken


class SealError(ValueError):
    """It was sealed under another secret key, or is damaged."""


class Sealing:
    """Keyed hashes and encryption under keys of their own, made from the app's secret key."""

    def __init__(self, secret_key: str, bot: int) -> None:
        self._bot = bot
        self._hashing = hashlib.sha256(b"telegram-chat:" + secret_key.encode()).digest()
        sealing = hashlib.sha256(b"telegram-sealed:" + secret_key.encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(sealing))

    def chat(self, chat_id: int) -> str:
        """The name of a chat in the database; nobody without the key can tell the chat id from it, or try one."""
        return hmac.new(self._hashing, f"{self._bot}:{chat_id}".encode(), hashlib.sha256).hexdigest()

    def seal(self, content: bytes) -> bytes:
        """Encrypt."""
        return self._fernet.encrypt(content)

    def open(self, sealed: bytes) -> bytes:
        """Decrypt. Raises :class:`SealError`."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            raise SealError("sealed under another secret key; was NEEDLEPOINT_SECRET_KEY changed?") from None

"""The last few messages of each conversation, in memory only, so that safety can read a message in their light."""

from __future__ import annotations

from collections import OrderedDict, deque

#: Messages a conversation is remembered by.
MESSAGES = 4

#: Conversations remembered; the one unheard of for longest makes room.
CONVERSATIONS = 2000


class RecentMessages:
    """What a person said before, oldest first. Best effort: another process or a restart does not know it."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, deque[str]] = OrderedDict()

    def of(self, conversation: str) -> list[str]:
        """The person's earlier messages."""
        return list(self._said.get(conversation, ()))

    def add(self, conversation: str, text: str) -> None:
        """Remember a message."""
        self._said.setdefault(conversation, deque(maxlen=MESSAGES)).append(text)
        self._said.move_to_end(conversation)
        while len(self._said) > CONVERSATIONS:
            self._said.popitem(last=False)

    def forget(self, conversation: str) -> None:
        """Forget a conversation that was erased."""
        self._said.pop(conversation, None)

"""The last few messages of each conversation, in memory only, so that safety can read a message in their light."""

from __future__ import annotations

from collections import OrderedDict

#: Messages a conversation is remembered by.
MESSAGES = 4

#: Conversations remembered; the one unheard of for longest makes room.
CONVERSATIONS = 2000


class RecentMessages:
    """What a person said before, oldest first. Best effort: another process or a restart does not know it."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, dict[str, str]] = OrderedDict()

    def before(self, conversation: str, client_id: str) -> list[str]:
        """The person's other messages; a message that is sent again is not read in its own light."""
        said = self._said.get(conversation, {})
        return [text for known, text in said.items() if known != client_id]

    def add(self, conversation: str, client_id: str, text: str) -> None:
        """Remember a message."""
        said = self._said.setdefault(conversation, {})
        said[client_id] = text
        while len(said) > MESSAGES:
            del said[next(iter(said))]
        self._said.move_to_end(conversation)
        while len(self._said) > CONVERSATIONS:
            self._said.popitem(last=False)

    def forget(self, conversation: str) -> None:
        """Forget a conversation that was erased."""
        self._said.pop(conversation, None)

"""The one action of a stock project: reads the answer from the same database and says it.

Run by rasa-sdk's own server (`python -m rasa_sdk --actions benchmarks.stock_rasa.actions`), with the database's address
in `STOCK_DATABASE_URL`.
"""

from __future__ import annotations

import os
from typing import Any

from rasa_sdk import Action, Tracker
from rasa_sdk.executor import CollectingDispatcher
from sqlalchemy import select
from sqlalchemy.orm import Session

from needlepoint.db.connect import connect
from needlepoint.faq.models import Entry

_DATABASE = connect(os.environ["STOCK_DATABASE_URL"])


class ActionAnswer(Action):  # type: ignore[misc]
    """Says the newest text of the entry that the ResponseSelector chose, else of the first of the intent's topic."""

    def name(self) -> str:
        """As in the domain."""
        return "action_answer"

    def run(self, dispatcher: CollectingDispatcher, tracker: Tracker, domain: dict[str, Any]) -> list[dict[str, Any]]:
        """Look it up and say it."""
        message = tracker.latest_message
        selector = message.get("response_selector", {}).get("faq", {}).get("response", {})
        with Session(_DATABASE) as session:
            query = select(Entry)
            if selector:
                query = query.where(Entry.id == selector["intent_response_key"].removeprefix("faq/"))
            else:
                query = query.where(Entry.topic == message["intent"]["name"].removeprefix("ask_"))
            entry = session.scalars(query.limit(1)).first()
            said = entry.versions[-1].texts[0].answer if entry is not None else "I am sorry, I do not know that."
        dispatcher.utter_message(text=said)
        return []

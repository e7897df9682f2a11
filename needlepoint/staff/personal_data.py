"""Everything that is stored of one person's conversation, as a file that can be given to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Table, select
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import call_backs
from needlepoint.conversations.models import Attention, Conversation, Feedback, Message, Outgoing, Turn
from needlepoint.conversations.review_models import CallBack, Review, ReviewItem
from needlepoint.db.base import now
from needlepoint.db.connect import READS_ONLY

#: What stands in the file beside the conversation itself, by the table's name.
_PARTS = (Message, Turn, Outgoing, Attention, ReviewItem, Review, CallBack)


async def export(engine: AsyncEngine, secret: str, conversation: str, whole: bool) -> dict[str, Any] | None:
    """What is stored of a conversation, table by table; None if there is none.

    Texts are masked, as they are stored. Unless `whole`, the number for a call back is masked too and names of staff
    are left out.
    """
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        row = (await connection.execute(select(Conversation).where(Conversation.id == conversation))).first()
        if row is None:
            return None
        found: dict[str, Any] = {"exported_at": now(), "whole": whole, "conversation": _plain(row, Conversation, whole)}
        for model in _PARTS:
            query = select(model).where(model.conversation_id == conversation).order_by(model.id)
            rows = (await connection.execute(query)).all()
            found[model.__tablename__] = [_plain(one, model, whole) for one in rows]
        rated = select(Feedback).join(Outgoing).where(Outgoing.conversation_id == conversation)
        found["feedback"] = [_plain(one, Feedback, whole) for one in (await connection.execute(rated)).all()]
    numbers = {one.id: one.number for one in await call_backs.requests(engine, secret, conversation)}
    for one in found["call_back"]:
        number = numbers.get(one["id"])
        one["number"] = number if whole else call_backs.masked(number)
    return found


#: Columns that say who of the staff it was.
_STAFF = {
    *("acknowledged_by", "reviewer", "taken_by_id", "taken_by", "assigned_to_id", "assigned_to"),
    *("held_by_id", "held_by", "done_by", "by_id", "by", "changed_by"),
}


def _plain(row: Any, model: Any, whole: bool) -> dict[str, Any]:
    table: Table = model.__table__
    columns: list[Column[Any]] = list(table.columns)
    plain = {one.name: getattr(row, one.name) for one in columns if whole or one.name not in _STAFF}
    if not whole and isinstance(plain.get("reply"), dict):
        plain["reply"] = {**plain["reply"], "why": {}}
    return plain

"""Everything that is stored of one person's conversation, as a file that can be given to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncEngine

from needlepoint.conversations import call_backs
from needlepoint.conversations.models import Conversation, Feedback, Outgoing
from needlepoint.conversations.review_models import ConversationFact, SaidText
from needlepoint.db.base import Base, now
from needlepoint.db.connect import READS_ONLY

#: What is derived from the rest: not given out twice.
_DERIVED = {SaidText.__tablename__, ConversationFact.__tablename__}


async def export(engine: AsyncEngine, secret: str, conversation: str, whole: bool) -> dict[str, Any] | None:
    """What is stored of a conversation, table by table, those of its channel too; None if there is none.

    Texts are masked, as they are stored. Unless `whole`, the number for a call back is masked too and names of staff
    are left out.
    """
    async with engine.execution_options(**READS_ONLY).connect() as connection:
        table = Base.metadata.tables[Conversation.__tablename__]
        row = (await connection.execute(select(table).where(table.c.id == conversation))).mappings().first()
        if row is None:
            return None
        found: dict[str, Any] = {"exported_at": now(), "whole": whole, "conversation": _plain(row, whole)}
        for name, part in sorted(Base.metadata.tables.items()):
            if "conversation_id" in part.columns and name not in _DERIVED:
                of_it = select(part).where(part.c.conversation_id == conversation).order_by(*part.primary_key)
                found[name] = [_plain(one, whole) for one in (await connection.execute(of_it)).mappings()]
        feedback = Base.metadata.tables[Feedback.__tablename__]
        rated = select(feedback).join(Outgoing).where(Outgoing.conversation_id == conversation)
        found["feedback"] = [_plain(one, whole) for one in (await connection.execute(rated)).mappings()]
    numbers = {one.id: one.number for one in await call_backs.requests(engine, secret, conversation)}
    for one in found["call_back"]:
        number = numbers.get(one["id"])
        one["number"] = number if whole else call_backs.masked(number)
    return found


#: In place of what is kept encrypted: a chat's address.
_ENCRYPTED = "(kept encrypted)"

#: Columns that say who of the staff it was.
_STAFF = {
    *("acknowledged_by", "reviewer", "taken_by_id", "taken_by", "assigned_to_id", "assigned_to"),
    *("held_by_id", "held_by", "done_by", "by_id", "by", "changed_by"),
}


def _plain(row: RowMapping, whole: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {name: _ENCRYPTED if isinstance(it, bytes) else it for name, it in row.items()}
    if not whole:
        plain = {name: it for name, it in plain.items() if name not in _STAFF}
        if isinstance(plain.get("reply"), dict):
            plain["reply"] = {**plain["reply"], "why": {}}
    return plain

"""Two apps on one PostgreSQL behind one webhook, and what tests of them look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from tests.conftest import new_postgres
from tests.running import Engine, Instance, Laboratory
from tests.telegram_server import TOKEN, BotApiServer, Fault

Pair = tuple[Instance, Instance]


@contextmanager
def two_by_webhook(
    laboratory: Laboratory, engine: Engine, bot_api: BotApiServer, postgres_server: str, **settings: str
) -> Iterator[Pair]:
    """Both apps, running, with the webhook set; updates go to either."""
    with new_postgres(postgres_server) as database:
        settings |= {
            "telegram_bot_token": TOKEN,
            "telegram_api_base_url": bot_api.url,
            "telegram_updates": "webhook",
            "telegram_webhook_base_url": "http://balancer.example",
        }
        one = laboratory.instance([engine], database=database, **settings)
        two = laboratory.instance([engine], database=database, prepare=False, **settings)
        bot_api.behind = [one.url, two.url]
        bot_api.wait_for(lambda: bot_api.webhook["url"], what="the webhook")
        yield one, two
        one.end()
        two.end()


def rows(pair: Pair, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(pair[0].database) as connection:
        return connection.execute(query.encode(), values).fetchall()


def settled(pair: Pair) -> bool:
    waiting = "SELECT (SELECT count(*) FROM telegram_update WHERE done_at IS NULL) + "
    return rows(pair, waiting + "(SELECT count(*) FROM delivery WHERE state = 'waiting')") == [(0,)]


def once(chat: int, what: Fault) -> Callable[[str, dict[str, Any]], Fault | None]:
    """Trouble with the next message to a chat."""
    left = [what]

    def trouble(method: str, asked: dict[str, Any]) -> Fault | None:
        return left.pop() if left and method == "sendMessage" and int(asked["chat_id"]) == chat else None

    return trouble

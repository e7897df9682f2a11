"""Reads messages as JSON strings, one a line, and writes what a Rasa model makes of each, with the milliseconds.

For `benchmarks.understanding`; runs with the engine's Python: `python timed_parse.py MODEL < messages`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time

#: Messages that are read before the clock counts: TensorFlow compiles what it needs at the first ones.
WARM_UP = 20


def main() -> None:
    """Parse standard input."""
    sys.modules.setdefault("jax", None)  # type: ignore[arg-type]  # as in needlepoint_engine
    import sanic.app  # noqa: F401, PLC0415
    import structlog  # noqa: PLC0415
    from rasa.core.agent import Agent  # noqa: PLC0415

    # Rasa logs what it parses, and where nobody has told structlog otherwise on standard output.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    agent = Agent.load(sys.argv[1])
    texts = [json.loads(line) for line in sys.stdin]
    asyncio.run(_parse(agent, texts))


async def _parse(agent: object, texts: list[str]) -> None:
    for text in texts[:WARM_UP]:
        await agent.parse_message(text)  # type: ignore[attr-defined]
    for text in texts:
        began = time.perf_counter()
        parsed = await agent.parse_message(text)  # type: ignore[attr-defined]
        print(json.dumps({"milliseconds": (time.perf_counter() - began) * 1000, "parsed": parsed}), flush=True)


if __name__ == "__main__":
    main()

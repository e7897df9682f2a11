"""Being told to stop: readiness goes first, what is being answered is answered, streams end with a hint."""

from __future__ import annotations

import concurrent.futures
import signal
import time

from tests.running import Conversation, Engine, Instance, Laboratory


def stream_to_its_end(instance: Instance, conversation: Conversation) -> list[str]:
    path = f"/api/conversations/{conversation.id}/events"
    with instance.http() as http, http.stream("GET", path, headers=conversation.headers, timeout=20) as stream:
        return list(stream.iter_lines())


def test_readiness_goes_first_messages_are_answered_and_streams_end_with_a_hint(
    laboratory: Laboratory, engine: Engine
) -> None:
    instance = laboratory.instance([engine], stop_delay="1.5")
    talks = [instance.conversation() for _ in range(4)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool, instance.http() as http:
        stream = pool.submit(stream_to_its_end, instance, talks[0])
        engine.freeze()
        try:
            waiting = [pool.submit(talk.say, "does it hurt?") for talk in talks]
            time.sleep(0.3)
            told = time.monotonic()
            instance.signal(signal.SIGTERM)
            time.sleep(0.2)
            ready = http.get("/health/ready")
            assert ready.status_code == 503 and ready.json() == {"running": False}
            assert http.get("/health/live").status_code == 200
            late = pool.submit(instance.conversation().say, "how long will I be red?")
        finally:
            engine.thaw()
        assert [one.result()["state"] for one in (*waiting, late)] == ["answered"] * 5
        assert instance.wait() == 0
        assert time.monotonic() - told >= 1.5
        lines = stream.result()
    assert any(line.startswith("id: 1") for line in lines)
    assert any(line.startswith("retry: ") and 500 <= int(line.removeprefix("retry: ")) <= 3000 for line in lines)


def test_a_second_signal_ends_the_delay(laboratory: Laboratory) -> None:
    instance = laboratory.instance([], wait="/health/live", stop_delay="60")
    instance.signal(signal.SIGTERM)
    time.sleep(0.3)
    instance.signal(signal.SIGTERM)
    assert instance.wait(within=15) == 0

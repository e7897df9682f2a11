"""What takes minutes."""

from __future__ import annotations

import statistics
import time

import pytest

from tests.running import Instance

pytestmark = pytest.mark.long


def test_a_talk_of_a_thousand_turns_is_answered_to_the_end_and_as_fast(instance: Instance) -> None:
    conversation = instance.conversation()
    seconds = []
    for number in range(1000):
        began = time.perf_counter()
        assert conversation.say(f"number {number}: how long will I be red?")["state"] == "answered"
        seconds.append(time.perf_counter() - began)
    first, last = statistics.median(seconds[10:110]), statistics.median(seconds[-100:])
    assert last <= first * 1.25, (first, last)
    assert len(conversation.history()) == 2000

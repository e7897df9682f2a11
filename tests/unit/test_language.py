"""The guess at the language of a message."""

from __future__ import annotations

import pytest

from needlepoint.language import guess_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("boleh pakai mekap lepas buat rawatan tak", "ms"),
        ("muka saya bengkak, apa perlu buat", "ms"),
        ("sakit tak?", "ms"),
        ("when can I wear makeup after the treatment", "en"),
        ("does it hurt?", "en"),
        ("can I put makeup on tomorrow, nak pergi kenduri in the evening with my family", None),
        ("ok", None),
        ("", None),
    ],
)
def test_malay_english_and_mixed_messages_are_told_apart(text: str, language: str | None) -> None:
    assert guess_language(text) == language

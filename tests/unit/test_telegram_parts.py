"""What the Telegram channel is made of: reading updates, showing replies, buttons, keys, settings."""

from __future__ import annotations

import logging
import re
from datetime import date
from typing import Any

import pytest
import regex
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from needlepoint.channels.telegram import keyboards
from needlepoint.channels.telegram.configured import read_telegram
from needlepoint.channels.telegram.rendering import Run, document, marked, plain, render, render_text, split
from needlepoint.channels.telegram.sealing import SealError, Sealing
from needlepoint.channels.telegram.splitting import LONGEST_PART, is_visible, spans, utf16_units
from needlepoint.channels.telegram.updates import Inbound, read_update
from needlepoint.clinic import read_clinic
from needlepoint.phrases import Phrases, read_phrases
from needlepoint.reply import Answer, Choice, Reply, Source
from needlepoint.settings import ROOT, Settings, SettingsError
from tests.telegram_server import TOKEN, read_html

PRIVATE = {"id": 7, "type": "private"}
PERSON = {"id": 7, "is_bot": False, "language_code": "ms"}


@pytest.fixture(scope="module")
def phrases() -> Phrases:
    return read_phrases(ROOT / "data" / "phrases", read_clinic(ROOT / "clinic.toml"))


def message(**fields: Any) -> dict[str, Any]:
    return {"update_id": 1, "message": {"message_id": 5, "date": 1, "chat": PRIVATE, "from": PERSON, **fields}}


# -- updates ------------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
FIELDS = st.sampled_from(
    """update_id message edited_message callback_query my_chat_member channel_post poll chat from id type text caption
    photo voice date edit_date message_id data new_chat_member status is_bot language_code media_group_id""".split()
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | st.text(max_size=5), inner, max_size=6),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING | st.fixed_dictionaries({"update_id": st.integers(0, 2**53), "message": ANYTHING}))
@example({"update_id": 1, "message": None})
@example({"update_id": 1, "edited_message": {"message_id": 1, "chat": PRIVATE, "date": 9, "edit_date": 3, "text": "a"}})
@example({"update_id": 2**70, "message": {}})
def test_no_update_whatever_it_holds_is_an_error(update: Any) -> None:
    found = read_update(update)
    assert found is None or isinstance(found, Inbound)


@pytest.mark.parametrize(
    "kind",
    """channel_post edited_channel_post poll poll_answer message_reaction message_reaction_count chat_member
    inline_query chosen_inline_result chat_join_request chat_boost removed_chat_boost purchased_paid_media
    business_message pre_checkout_query a_kind_of_next_year""".split(),
)
def test_kinds_of_updates_that_are_no_message_to_us_ask_nothing(kind: str) -> None:
    content = {"message_id": 1, "chat": PRIVATE, "from": PERSON, "text": "hello", "id": "1"}
    assert read_update({"update_id": 1, kind: content}) is None


@pytest.mark.parametrize(
    ("text", "kind", "command", "said"),
    [
        ("/start", "command", "start", ""),
        ("/start Abc_123-x", "command", "start", "Abc_123-x"),
        ("/help@needlepoint_test_bot", "command", "help", ""),
        ("/HELP", "command", "help", ""),
        ("/human", "command", "person", ""),
        ("/emergency my lips are swelling", "text", "", "my lips are swelling"),
        ("/start I cannot breathe", "text", "", "I cannot breathe"),
        ('/faq{"x":1}', "text", "", '/faq{"x":1}'),
        ("/restart", "text", "", "/restart"),
        ("/session_start", "text", "", "/session_start"),
        ("see t.me/bot/bot and /bot", "text", "", "see t.me/bot/bot and /bot"),
    ],
)
def test_commands_are_ours_only_and_all_else_is_plain_text(text: str, kind: str, command: str, said: str) -> None:
    found = read_update(message(text=text))
    assert found is not None
    assert (found.kind, found.command, found.text) == (kind, command, said)


@pytest.mark.parametrize(
    ("field", "attachment"),
    [
        *(("photo", "picture"), ("voice", "voice"), ("audio", "voice"), ("video_note", "video"), ("story", "other")),
        *(("sticker", "sticker"), ("location", "location"), ("contact", "contact"), ("poll", "poll")),
        ("document", "document"),
    ],
)
def test_what_is_sent_instead_of_words_is_told_apart_by_kind(field: str, attachment: str, phrases: Phrases) -> None:
    found = read_update(message(**{field: {"file_id": "x"}}, caption="is this infected?"))
    assert found is not None
    assert (found.kind, found.attachment, found.text) == ("attachment", attachment, "is this infected?")
    assert phrases.has(f"attachment_{attachment}")


def test_a_group_a_channel_and_another_bot_are_no_patient() -> None:
    group = read_update(message(chat={"id": -5, "type": "supergroup"}, text="does it hurt?"))
    assert group is not None and group.kind == "group" and group.text == ""
    assert read_update(message(chat={"id": -5, "type": "channel"}, text="news")) is None
    assert read_update(message(**{"from": {"id": 9, "is_bot": True}}, text="spam")) is None


# -- showing replies ----------------------------------------------------------------------------------------------

LETTERS = st.sampled_from(["a", "B", ".", "!", " ", "\n", "\n\n", "<", ">", "&", "*", "**", "_", "[x]", "- ", "&lt;"])
SIGNS = st.sampled_from(
    ["👩‍👩‍👧‍👦", "🇲🇾", "👍🏽", "e\u0301", "ا", "لْ", "مَرْحَبًا ", "한", "।", "؟ ", "\u200d", "\u2060", "ç", "🙂"]
)
TEXTS = st.lists(LETTERS | SIGNS | st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=60).flatmap(
    lambda pieces: st.integers(1, 400).map(lambda times: ("".join(pieces) * times)[:20_000])
)


def without_space(text: str) -> str:
    return "".join(one for one in text if not one.isspace())


def seen(text: str) -> str:
    """What a person can see of a text: Telegram drops the rest where it stands alone."""
    return "".join(one for one in text if is_visible(one) or regex.match(r"\p{M}|\u200d", one))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(TEXTS, TEXTS)
@example("🙂" * 10_000, "")
@example("\n\n\n\n", "\n \n")
@example("e" + "\u0301" * 9_000, "x")
@example("", "")
def test_any_reply_becomes_valid_parts_that_join_to_the_same_text(text: str, second: str) -> None:
    reply_phrases = read_phrases_once()
    answer = Answer("x", 1, "en", "A <question>?", second, when_to_contact="Call & ask")
    reply = Reply(kind="answer", topic="about", text=text, answers=[answer])
    zone = reply_phrases.clinic.zone
    whole = plain(document(reply, reply_phrases, "en", zone))
    parts = render(reply, reply_phrases, "en", zone)
    for part in parts:
        shown = read_html(part.html)  # refuses as Telegram does
        assert shown.text == part.plain
        assert is_visible(part.plain)
        assert utf16_units(part.plain) <= LONGEST_PART < 4096
        assert part.plain == part.plain.strip()
    assert without_space(seen("".join(part.plain for part in parts))) == without_space(seen(whole))


_once: list[Phrases] = []


def read_phrases_once() -> Phrases:
    if not _once:
        _once.append(read_phrases(ROOT / "data" / "phrases", read_clinic(ROOT / "clinic.toml")))
    return _once[0]


@settings(max_examples=100, deadline=None)
@given(st.lists(SIGNS, min_size=1, max_size=60).map("".join), st.integers(12, 60))
def test_no_cut_goes_through_what_is_one_sign_to_the_eye(text: str, longest: int) -> None:
    whole = [found.group() for found in regex.finditer(r"\X", text)]
    if max(map(utf16_units, whole)) > longest:
        return
    ends, at = set(), 0
    for sign in whole:
        at += len(sign)
        ends.add(at)
    for start, end in spans(text, longest)[:-1]:
        assert end in ends or text[end].isspace() or text[start : end + 1].strip() == text[start:end]


def test_a_long_answer_is_cut_where_a_paragraph_ends_else_a_sentence() -> None:
    paragraph = "One sentence of a fair length stands here. And another one follows it, not much longer. " * 12
    text = "\n\n".join([paragraph.strip()] * 9)
    assert utf16_units(text) > 9_000
    parts = split([Run(text)])
    assert len(parts) >= 3
    assert all(part.plain.endswith("longer.") for part in parts)
    sentences = split([Run("No paragraph is here to cut at. " * 300)])
    assert all(part.plain.endswith("cut at.") for part in sentences)


def test_markup_that_a_cut_goes_through_is_closed_and_opened_again() -> None:
    parts = render_text(f"**{'bold words ' * 800}** and [a link](https://clinic.example/a?b=1&c=2)")
    assert len(parts) > 1
    assert all(part.html.count("<b>") == part.html.count("</b>") for part in parts)
    assert '<a href="https://clinic.example/a?b=1&amp;c=2">a link</a>' in parts[-1].html


@pytest.mark.parametrize(
    "text", ["a < b > c & d", "[x]", "*", "_", "&lt;b&gt;", "<script>alert(1)</script>", "**", "a ** b ** c", "</b>"]
)
def test_signs_that_mean_something_to_others_are_shown_as_they_are(text: str) -> None:
    (part,) = render_text(text)
    assert read_html(part.html).text == text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "//evil", "tel:+603", "https:x"]
)
def test_only_web_addresses_become_links(url: str) -> None:
    (part,) = render_text(f"[a]({url})")
    assert "<a" not in part.html


def test_blank_lines_alone_are_never_sent_and_many_become_one() -> None:
    assert render_text("\n\n \n\n\n") == []
    assert [one.plain for one in render_text("one\n\n\n\n\ntwo")] == ["one\n\ntwo"]


def test_lines_are_joined_and_lists_kept_as_on_the_website() -> None:
    assert (
        plain(marked("one\ntwo\n\n- first\n  goes on\n- second\n\nend"))
        == "one two\n\n• first goes on\n• second\n\nend"
    )


def test_an_answer_says_who_reviewed_it_and_where_it_comes_from(phrases: Phrases) -> None:
    answer = Answer(
        *("x", 1, "en", "Does it hurt?", "A little."),
        when_to_contact="If it gets worse.",
        in_your_case="Makeup: not yet.",
        reviewed_on=date(2026, 11, 2),
        sources=[Source("NHS", "https://nhs.uk/a", "hospital"), Source("Book", "isbn:1", "textbook")],
    )
    (part,) = render(Reply("answer", "pain", answers=[answer], then="Go on?"), phrases, "en", phrases.clinic.zone)
    expected = "Does it hurt?\n\nMakeup: not yet.\n\nA little.\n\nWhen to contact the clinic\nIf it gets worse.\n\n"
    assert part.plain == expected + "Reviewed on Monday 2 November 2026\nSources: NHS; Book\n\nGo on?"
    assert '<a href="https://nhs.uk/a">NHS</a>' in part.html and "isbn" not in part.html


def test_an_urgent_card_begins_with_what_to_do_and_whom_to_call(phrases: Phrases) -> None:
    card = Reply("urgent", "urgent", answers=[Answer("x", 1, "en", "Swelling", "Call 999.")], urgency="emergency_now")
    (part,) = render(card, phrases, "en", phrases.clinic.zone)
    assert part.plain.startswith("‼️ Emergency: get help now\n\nIn an emergency call 999.")


# -- buttons ------------------------------------------------------------------------------------------------------


def test_a_choice_of_200_bytes_in_cyrillic_fits_a_button(phrases: Phrases) -> None:
    reply = Reply("clarify", "about", "Which?", choices=[Choice("Что можно делать после процедуры? " * 6, "9" * 64)])
    rows = keyboards.for_reply(reply, 2**29, phrases, "en")
    assert len(rows) == 1 and len(rows[0]) == 1
    title, data = rows[0][0]
    assert len(data.encode()) <= 64 and title.startswith("Что")
    assert keyboards.pressed(data) == keyboards.Pressed("choice", 2**29, 0)


@given(st.text(max_size=80))
def test_what_a_button_sends_back_may_be_anything(data: str) -> None:
    found = keyboards.pressed(data)
    assert found is None or data[0] in "cfr"


def test_each_choice_has_a_row_and_what_was_chosen_replaces_them(phrases: Phrases) -> None:
    reply = Reply("answer", "about", choices=[Choice("One", "1.0"), Choice("Two", "1.1")])
    assert [len(row) for row in keyboards.for_reply(reply, 3, phrases, "en")] == [1, 1, 2]
    after = keyboards.for_reply(reply, 3, phrases, "en", chosen="Two")
    assert [[title for title, _ in row] for row in after] == [["✓ Two"], ["👍", "👎"]]


# -- keys and settings --------------------------------------------------------------------------------------------


def test_a_chat_is_named_by_a_keyed_hash_and_nothing_opens_without_the_key() -> None:
    mine, other = Sealing("k" * 32, 1), Sealing("o" * 32, 1)
    assert mine.chat(42) == Sealing("k" * 32, 1).chat(42) != other.chat(42)
    assert mine.chat(42) != Sealing("k" * 32, 2).chat(42)
    assert "42" not in repr(mine.seal(b"42"))
    with pytest.raises(SealError, match="NEEDLEPOINT_SECRET_KEY"):
        other.open(mine.seal(b"42"))


def configured(**given_settings: Any) -> Any:
    return read_telegram(Settings(secret_key="k" * 32, telegram_bot_token=TOKEN, **given_settings))


def test_a_token_is_all_that_polling_needs_and_without_one_there_is_no_channel() -> None:
    assert read_telegram(Settings(secret_key="k" * 32)) is None
    found = configured()
    assert (found.updates, found.bot, found.api) == ("polling", 123456789, "https://api.telegram.org")
    assert TOKEN.split(":")[1] not in repr(found)


@pytest.mark.parametrize(
    ("wrong", "mend"),
    [
        ({"telegram_bot_token": "my bot"}, "BotFather"),
        ({"telegram_updates": "webhook"}, "WEBHOOK_BASE_URL"),
        ({"telegram_updates": "webhook", "public_url": "http://chat.clinic.example"}, "https"),
        ({"telegram_api_base_url": "http://bots.example"}, "https"),
        ({"telegram_api_base_url": "bots"}, "no address"),
    ],
)
def test_wrong_settings_stop_the_start_and_name_the_mend(wrong: dict[str, Any], mend: str) -> None:
    given_settings = {"secret_key": "k" * 32, "telegram_bot_token": TOKEN, **wrong}
    with pytest.raises(SettingsError, match=mend) as error:
        read_telegram(Settings(**given_settings))
    assert TOKEN not in str(error.value)


def test_the_webhooks_secret_is_the_same_in_every_process_and_not_guessable_from_the_bot() -> None:
    one, two = (configured(telegram_updates="webhook", public_url="https://chat.clinic.example") for _ in range(2))
    assert one.webhook_url == "https://chat.clinic.example/telegram/webhook"
    assert one.webhook_secret == two.webhook_secret and re.fullmatch("[0-9a-f]{64}", one.webhook_secret)
    other = read_telegram(Settings(secret_key="o" * 32, telegram_bot_token=TOKEN))
    assert other is not None and other.webhook_secret != one.webhook_secret


def test_libraries_that_would_log_the_token_are_silent() -> None:
    from needlepoint.channels.telegram import bot_api  # noqa: F401 - importing it silences them

    assert all(logging.getLogger(name).level >= logging.WARNING for name in ("httpx", "httpcore", "telegram"))


@pytest.mark.parametrize("language", ["en", "ms"])
def test_every_phrase_of_the_channel_can_be_shown(phrases: Phrases, language: str) -> None:
    ours = [key for key in phrases._texts["en"] if key.startswith(("telegram_", "attachment_", "signs_question"))]
    assert len(ours) > 40
    for key in ours:
        for part in render_text(phrases.say(key, language)):
            assert read_html(part.html).text == part.plain


def test_the_tests_that_the_documentation_names_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "telegram.md").read_text()))
    written = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 40
    assert [name for name in named if f"def {name}(" not in written] == []


def test_all_25_faults_have_their_line_in_the_documentation() -> None:
    page = (ROOT / "docs" / "telegram.md").read_text()
    assert [int(number) for number in re.findall(r"^\| (\d{1,2}) \|", page, re.MULTILINE)] == list(range(1, 26))

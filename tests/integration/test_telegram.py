"""Telegram by long polling, as a patient meets it: real app, real engine, a server of ours that plays the Bot API."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from needlepoint.channels.telegram.configured import read_telegram
from needlepoint.channels.telegram.doctor import Finding, examine
from needlepoint.db.connect import connect, connect_async
from needlepoint.settings import Settings
from needlepoint.staff import accounts
from tests.desk import sign_in, token_in
from tests.running import SECRET, Engine, Instance, Laboratory
from tests.telegram_server import TOKEN, BotApiServer, Fault, Message, Patient

CHATS = itertools.count(7_000_001)
PASSWORD = "a long password for tests"


@pytest.fixture(scope="module")
def bot_api() -> Iterator[BotApiServer]:
    with BotApiServer() as server:
        server.webhook = {"url": "https://left.over.example/from/another/time"}
        server.faults["getWebhookInfo"] = [Fault("quiet", 1), Fault("error")]
        server.faults["setMyCommands"] = [Fault("quiet", 1)]
        yield server


@pytest.fixture(scope="module")
def app(laboratory: Laboratory, engine: Engine, bot_api: BotApiServer) -> Iterator[Instance]:
    app = laboratory.instance([engine], telegram_bot_token=TOKEN, telegram_api_base_url=bot_api.url, log_level="debug")
    yield app
    app.end()


@pytest.fixture
def stranger(app: Instance, bot_api: BotApiServer) -> Patient:
    """Somebody who has not agreed yet."""
    return Patient(bot_api, next(CHATS))


@pytest.fixture
def patient(stranger: Patient) -> Patient:
    """Somebody who has."""
    return stranger.agrees()


def rows(app: Instance, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What the database holds."""
    connection = sqlite3.connect(f"file:{app.database.removeprefix('sqlite:///')}?mode=ro", uri=True, timeout=10)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def whole_database(app: Instance) -> bytes:
    """Every byte that is on the disk, what was deleted and the log of writes included."""
    file = app.database.removeprefix("sqlite:///")
    found = b""
    for name in (file, file + "-wal"):
        try:
            with open(name, "rb") as content:  # noqa: PTH123
                found += content.read()
        except FileNotFoundError:
            continue
    return found


def conversation_of(app: Instance, text: str) -> str:
    ((conversation,),) = rows(app, "SELECT conversation_id FROM message WHERE text = ?", text)
    return str(conversation)


def settled(app: Instance) -> bool:
    """Nothing waits any more."""
    ((updates,),) = rows(app, "SELECT count(*) FROM telegram_update WHERE done_at IS NULL")
    ((sends,),) = rows(app, "SELECT count(*) FROM delivery WHERE state = 'waiting'")
    return updates == sends == 0


# -- beginning ----------------------------------------------------------------------------------------------------


def test_polling_removes_a_webhook_and_registers_the_commands_in_each_language(
    app: Instance, bot_api: BotApiServer
) -> None:
    bot_api.wait_for(lambda: set(bot_api.commands) == {"", "en", "ms"}, what="the menus of commands")
    bot_api.wait_for(lambda: bot_api.webhook["url"] == "", what="the end of the webhook")
    names = [command["command"] for command in bot_api.commands["ms"]]
    assert names == ["start", "help", "today", "person", "emergency", "language", "privacy", "delete", "stop"]
    assert bot_api.commands["ms"] != bot_api.commands["en"] == bot_api.commands[""]
    assert not bot_api.called("getMe")


def test_a_start_that_telegram_refuses_stops_nothing(app: Instance, bot_api: BotApiServer) -> None:
    bot_api.wait_for(lambda: not bot_api.webhook["url"])
    # The fixture had it refuse the first calls; the app was ready all the same, and set up everything soon after.
    assert bot_api.faults["getWebhookInfo"] == bot_api.faults["setMyCommands"] == []
    assert "could not be set (RetryAfter)" in app.whole_log()
    assert "did not take the menu of commands" in app.whole_log()


def test_a_first_question_is_answered_after_consent_and_not_kept_before(
    app: Instance, stranger: Patient, bot_api: BotApiServer
) -> None:
    stranger.say("does it hurt, by the way quetzalcoatl?")
    asked = stranger.say("does it hurt?")
    assert asked.titles == ["I agree, start", "Not now", "Bahasa Melayu"]
    assert "privacy notice" in asked.text and "999" in asked.text
    bot_api.wait_for(lambda: settled(app))
    assert b"quetzalcoatl" not in whole_database(app)
    thanks = stranger.pressed(asked, "I agree, start")
    assert "Here is the answer" in thanks.text
    answer = stranger.next(3)
    assert "hurt" in answer.text and "Sources:" in answer.text
    assert asked.titles == ["✓ I agree, start"]


def test_whoever_does_not_agree_has_nothing_kept_and_can_still_change_their_mind(stranger: Patient) -> None:
    asked = stranger.say("/start")
    assert "Hello, I am the microneedling assistant" in asked.text
    assert "nothing is kept" in stranger.pressed(asked, "Not now").text
    assert "I agree, start" in stranger.say("/start").titles


def test_a_red_flag_is_answered_before_any_consent_and_its_words_are_kept_nowhere(
    app: Instance, stranger: Patient, bot_api: BotApiServer
) -> None:
    ((before,),) = rows(app, "SELECT count(*) FROM attention WHERE level = 'emergency_now'")
    card = stranger.say("my lips are swelling and I cannot breathe xylophonist")
    assert card.text.startswith("‼️ Emergency: get help now")
    assert card.buttons == []
    bot_api.wait_for(lambda: settled(app))
    assert b"xylophonist" not in whole_database(app)
    alerted = "SELECT count(*) FROM attention WHERE level = 'emergency_now'"
    bot_api.wait_for(lambda: rows(app, alerted) == [(before + 1,)], what="the mark for staff")


def test_the_persons_language_is_telegrams_until_they_choose_another(app: Instance, bot_api: BotApiServer) -> None:
    malay = Patient(bot_api, next(CHATS), language="ms-MY")
    asked = malay.say("/start")
    assert "Helo" in asked.text or "pembantu" in asked.text
    assert asked.titles[-1] == "English"
    in_english = malay.pressed(asked, "English")
    assert "Hello, I am" in in_english.text
    assert "Bahasa Melayu" in in_english.titles
    assert "I write in English" not in in_english.text
    assert "English" in malay.say("/language").titles


# -- the conversation ---------------------------------------------------------------------------------------------


def test_a_question_gets_the_answer_with_thumbs_and_staff_see_that_it_was_delivered(
    app: Instance, patient: Patient, bot_api: BotApiServer
) -> None:
    answer = patient.say("when can I wear makeup after the treatment, aisyah asks")
    assert "makeup" in answer.text and answer.titles[-2:] == ["👍", "👎"]
    bot_api.wait_for(lambda: settled(app))
    conversation = conversation_of(app, "when can I wear makeup after the treatment, aisyah asks")
    ((state, delivered),) = rows(
        app,
        "SELECT d.state, o.delivered_at FROM delivery d JOIN outbox o ON o.id = d.outbox_id "
        "WHERE o.conversation_id = ?",
        conversation,
    )
    assert state == "sent" and delivered is not None


def test_thumbs_are_kept_as_feedback_and_a_thumb_down_asks_why(
    app: Instance, patient: Patient, bot_api: BotApiServer
) -> None:
    answer = patient.say("how long will I be red, zainab asks")
    press = patient.press(answer, "👎")
    bot_api.wait_for(lambda: "It seems wrong" in answer.titles, what="the question why")
    assert "What was wrong?" in bot_api.answered[press]
    patient.press(answer, "Something is missing")
    bot_api.wait_for(lambda: answer.titles[-2:] == ["👍", "✓ 👎"], what="the mark of the choice")
    conversation = conversation_of(app, "how long will I be red, zainab asks")
    given = rows(
        app,
        "SELECT helpful, reason FROM feedback f JOIN outbox o ON o.id = f.outbox_id WHERE conversation_id = ?",
        conversation,
    )
    assert given == [(0, "not_enough")]


def test_a_pressed_keyboard_is_replaced_pressed_twice_counts_once_and_an_old_one_has_expired(
    app: Instance, patient: Patient, bot_api: BotApiServer
) -> None:
    first = patient.say("does it hurt?")
    data = {button["text"]: button["callback_data"] for row in first.buttons for button in row}
    title = next(iter(data))
    answer = patient.pressed(first, title)
    assert first.titles[0] == f"✓ {title}" and first.titles[1:] == ["👍", "👎"]
    count = len(patient.got)
    again = patient.press_data(first.id, data[title])
    bot_api.wait_for(lambda: again in bot_api.answered)
    assert "no longer there" in bot_api.answered[again]
    bot_api.wait_for(lambda: settled(app))
    assert len(patient.got) == count and answer is patient.got[-1]


def test_every_press_is_answered_also_of_buttons_that_never_were(patient: Patient, bot_api: BotApiServer) -> None:
    presses = [patient.press_data(1, data) for data in ("-", "c999999.0", "f9.1", "r9.9", "nonsense", "", "agree.1999")]
    bot_api.wait_for(lambda: all(press in bot_api.answered for press in presses), what="an answer to each press")


def test_simultaneous_messages_of_a_chat_are_answered_in_their_order(patient: Patient, bot_api: BotApiServer) -> None:
    count = len(patient.got)
    questions = [("does it hurt?", "hurt"), ("when can I swim?", "swim"), ("how much is the home kit?", "RM 228")] * 3
    for text, _ in questions:
        patient.send(text=text)
    bot_api.wait_for(lambda: len(patient.got) == count + 9, 30, "nine answers")
    for (_, word), answer in zip(questions, patient.got[count:], strict=True):
        assert word in answer.text


def test_the_same_update_twice_gives_one_answer(app: Instance, patient: Patient, bot_api: BotApiServer) -> None:
    count = len(patient.got)
    update = patient.send(text="does it hurt?")
    patient.next(count)
    bot_api.push(**{key: value for key, value in update.items() if key != "update_id"})  # same message, new update
    with bot_api._changed:
        bot_api.updates.append(update)
    patient.say("when can I swim?")
    bot_api.wait_for(lambda: settled(app))
    assert [("hurt" in one.text, "swim" in one.text) for one in patient.got[count:]] == [(True, False), (False, True)]


def test_a_changed_message_is_answered_once_as_a_correction(
    app: Instance, patient: Patient, bot_api: BotApiServer
) -> None:
    count = len(patient.got)
    update = patient.send(text="when can I swim?")
    patient.next(count)
    patient.edit(update, text="when can I swim?")  # only a link's preview came
    patient.edit(update, text="when can I wear makeup?")
    corrected = patient.next(count + 1)
    assert corrected.text.startswith("You changed your message.") and "makeup" in corrected.text
    patient.edit(update, text="does it hurt?")
    patient.edit(patient.send(text="does it hurt?"), after=20 * 60, text="when can I swim?")
    bot_api.wait_for(lambda: len(patient.got) == count + 3)
    bot_api.wait_for(lambda: settled(app))
    assert len(patient.got) == count + 3  # the late change counts for nothing


def test_a_message_that_is_changed_into_a_red_flag_gets_the_card(patient: Patient) -> None:
    count = len(patient.got)
    update = patient.send(text="when can I swim?")
    patient.next(count)
    patient.edit(update, after=3600, text="I cannot breathe and my throat is swelling")
    assert "Emergency" in patient.next(count + 1).text


@pytest.mark.parametrize("text", ['/faq{"x":1}', "/restart", "/session_start", '/ask_pain{"entity":"x"}'])
def test_what_looks_like_an_inner_command_is_plain_text(patient: Patient, text: str) -> None:
    reply = patient.say(text)
    assert "hurt" not in reply.text and "Emergency" not in reply.text


# -- what is no text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ({"photo": [{"file_id": "f1", "width": 1, "height": 1}]}, "pictures cannot be looked at"),
        ({"voice": {"file_id": "f2"}}, "cannot listen to voice messages"),
        ({"document": {"file_id": "f3", "file_name": "report.pdf"}}, "files cannot be opened"),
        ({"sticker": {"file_id": "f4", "emoji": "😭"}}, "cannot read stickers"),
        ({"location": {"latitude": 3.1, "longitude": 101.7}}, "a place that is sent here"),
        ({"contact": {"phone_number": "+60123456789", "first_name": "Mak"}}, "a contact that is sent here"),
        ({"poll": {"id": "1", "question": "Pergi?"}}, "cannot answer polls"),
        ({"a_kind_of_next_year": {}}, "cannot read that kind of message"),
    ],
)
def test_what_is_no_text_gets_one_sentence_the_number_and_one_safety_question(
    app: Instance, patient: Patient, bot_api: BotApiServer, message: dict[str, Any], sentence: str
) -> None:
    count = len(patient.got)
    patient.send(**message)
    reply = patient.next(count)
    assert sentence in reply.text and "+60 3-1234 5678" in reply.text
    assert "Is one of these there now?" in reply.text
    assert len(reply.titles) == 7 and reply.titles[-1] == "No, none of these"
    assert not bot_api.called("getFile")


def test_a_sign_that_is_pressed_below_a_picture_is_the_card_also_when_the_button_is_old(
    app: Instance, patient: Patient, bot_api: BotApiServer
) -> None:
    count = len(patient.got)
    patient.send(photo=[{"file_id": "f"}])
    question = patient.next(count)
    signs = {button["text"]: button["callback_data"] for row in question.buttons for button in row}
    patient.pressed(question, "No, none of these")
    assert question.titles == ["✓ No, none of these"]
    count = len(patient.got)
    patient.press_data(question.id, signs["Spreading redness, pus or fever"])
    card = patient.next(count)
    assert "Urgent: contact the clinic today" in card.text
    bot_api.wait_for(lambda: settled(app))
    assert len(patient.got) == count + 1


def test_a_picture_with_words_is_read_for_safety_and_answered(patient: Patient) -> None:
    def picture(caption: str) -> Message:
        count = len(patient.got)
        patient.send(photo=[{"file_id": "f"}], caption=caption)
        return patient.next(count)

    asked = picture("could this be infected?")
    assert "pictures cannot be looked at" in asked.text and "is there pus" in asked.text
    answered = picture("when can I wear makeup?")
    assert "pictures cannot be looked at" in answered.text and "24 hours" in answered.text
    assert "Emergency" in picture("my lips are swelling and I cannot breathe").text


def test_the_pictures_of_an_album_get_one_reply(app: Instance, patient: Patient, bot_api: BotApiServer) -> None:
    count = len(patient.got)
    for _ in range(4):
        patient.send(photo=[{"file_id": "f"}], media_group_id="album-1")
    patient.next(count)
    bot_api.wait_for(lambda: settled(app))
    assert len(patient.got) == count + 1


def test_an_album_before_consent_gets_one_reply_too(app: Instance, stranger: Patient, bot_api: BotApiServer) -> None:
    for _ in range(3):
        stranger.send(photo=[{"file_id": "f"}], media_group_id="album-2")
    stranger.next(0)
    stranger.say("/help")
    assert len(stranger.got) == 2


def test_a_picture_before_consent_gets_the_sentence_the_signs_and_the_question_for_consent(stranger: Patient) -> None:
    stranger.send(photo=[{"file_id": "f"}])
    reply = stranger.next(0)
    assert "pictures cannot be looked at" in reply.text and "trouble breathing" in reply.text
    assert "I agree, start" in reply.titles


# -- urgent -------------------------------------------------------------------------------------------------------


def test_a_red_flag_does_not_wait_behind_a_slow_turn_of_its_chat_or_of_others(
    app: Instance, patient: Patient, bot_api: BotApiServer, engine: Engine
) -> None:
    others = [Patient(bot_api, next(CHATS)).agrees() for _ in range(3)]
    engine.freeze()
    try:
        count = len(patient.got)
        for one in (*others, patient):
            one.send(text="how long will I be red?")
        time.sleep(1.2)
        began = time.monotonic()
        patient.send(text="I cannot breathe and my tongue is swelling")
        card = patient.next(count)
        assert "Emergency" in card.text
        assert time.monotonic() - began < 3, "the engine's deadline is five"
        assert any(int(asked["chat_id"]) == patient.chat for asked in bot_api.called("sendChatAction"))
    finally:
        engine.thaw()
    bot_api.wait_for(lambda: all(len(one.got) > 2 for one in others), 30, "the others' replies")
    bot_api.wait_for(lambda: settled(app), 30)
    assert len(patient.got) == count + 1  # the turn that was overtaken is not delivered


def test_typing_is_shown_only_while_an_answer_is_being_made(patient: Patient, bot_api: BotApiServer) -> None:
    patient.say("does it hurt?")
    patient.say("/help")
    assert not [asked for asked in bot_api.called("sendChatAction") if int(asked["chat_id"]) == patient.chat]


def test_the_urgent_thread_holds_until_it_is_said_to_be_over(patient: Patient) -> None:
    patient.say("I cannot breathe and my tongue is swelling")
    held = patient.say("and when can I swim?")
    assert "staying with what you told me" in held.text and "Emergency" in held.text
    assert "Thank you for telling me" in patient.pressed(held, "It is completely over").text
    assert "swim" in patient.say("when can I swim?").text


# -- commands -----------------------------------------------------------------------------------------------------


def test_today_says_what_to_avoid_do_and_expect(patient: Patient) -> None:
    assert "When did you have your treatment" in patient.say("/today").text
    patient.say("I had it yesterday at the clinic")
    plan = patient.say("/today").text
    assert "Leave out for now" in plan and "• until" in plan


def test_a_person_can_be_asked_for_and_staff_see_it(app: Instance, patient: Patient) -> None:
    assert "marked for the clinic's staff" in patient.say("/person").text
    assert rows(app, "SELECT count(*) FROM attention WHERE reason = 'wants_a_person'") >= [(1,)]


def test_help_emergency_and_privacy_need_no_consent(stranger: Patient) -> None:
    assert "/today" in stranger.say("/help").text
    assert stranger.say("/emergency").text.startswith("In an emergency call 999 now.")
    assert "You have not agreed to this" in stranger.say("/privacy").text
    assert "I agree, start" in stranger.say("/today").titles


def test_delete_asks_once_more_and_then_leaves_nothing(app: Instance, patient: Patient, bot_api: BotApiServer) -> None:
    patient.say("can I use a jacuzzi, weltschmerz asks")
    conversation = conversation_of(app, "can I use a jacuzzi, weltschmerz asks")
    asked = patient.say("/delete")
    assert "Nothing was deleted" in patient.pressed(asked, "No, keep it").text
    asked = patient.say("/delete")
    assert patient.pressed(asked, "Yes, delete everything").text.startswith("Deleted.")
    bot_api.wait_for(lambda: settled(app))
    assert rows(app, "SELECT * FROM conversation WHERE id = ?", conversation) == []
    assert rows(app, "SELECT * FROM telegram_chat WHERE conversation_id = ?", conversation) == []
    assert (
        rows(app, "SELECT * FROM delivery d WHERE NOT EXISTS (SELECT 1 FROM telegram_chat c WHERE c.id = d.address)")
        == []
    )
    assert b"weltschmerz" not in whole_database(app)
    assert "I agree, start" in patient.say("does it hurt?").titles


def test_an_invitation_carries_a_random_token_counts_and_brings_its_language(
    app: Instance, bot_api: BotApiServer
) -> None:
    token = app.command("telegram", "link", "poster at reception", "--language", "ms").stdout.strip()
    assert token.startswith("https://t.me/needlepoint_test_bot?start=")
    follower = Patient(bot_api, next(CHATS))
    assert "Saya setuju, mula" in follower.say("/start " + token.partition("=")[2]).titles
    assert rows(app, "SELECT label, uses, token_hash = ? FROM telegram_link", token.partition("=")[2]) == [
        ("poster at reception", 1, 0)
    ]
    assert "I agree, start" in Patient(bot_api, next(CHATS)).say("/start never-given-out").titles


# -- groups -------------------------------------------------------------------------------------------------------


def test_a_group_gets_one_line_and_nothing_of_it_is_stored(app: Instance, bot_api: BotApiServer) -> None:
    group = {"id": -100_777, "type": "supergroup", "title": "Moms"}
    before = rows(app, "SELECT count(*) FROM telegram_update"), rows(app, "SELECT count(*) FROM telegram_chat")
    sender = {"id": 5, "is_bot": False, "language_code": "en"}
    for number in range(3):
        bot_api.push(
            message={"message_id": number, "date": 1, "chat": group, "from": sender, "text": "/help smorgasbord"}
        )
    bot_api.push(my_chat_member={"chat": group, "from": sender, "date": 1, "new_chat_member": {"status": "member"}})
    bot_api.wait_for(lambda: bot_api.messages[-100_777])
    Patient(bot_api, next(CHATS)).say("/help")  # what came before is done
    assert ["private chats only" in one.text for one in bot_api.messages[-100_777]] == [True]
    after = rows(app, "SELECT count(*) FROM telegram_update"), rows(app, "SELECT count(*) FROM telegram_chat")
    assert (after[0][0][0] - before[0][0][0], after[1][0][0] - before[1][0][0]) == (1, 1)  # of the patient alone
    assert b"smorgasbord" not in whole_database(app)


# -- when sending fails -------------------------------------------------------------------------------------------


def only(chat: int, *faults: Fault) -> Any:
    """Trouble with the messages to one chat, one after the other."""
    left = list(faults)

    def trouble(method: str, asked: dict[str, Any]) -> Fault | None:
        mine = method == "sendMessage" and int(asked["chat_id"]) == chat
        return left.pop(0) if mine and left else None

    return trouble


@pytest.fixture
def trouble(bot_api: BotApiServer) -> Iterator[BotApiServer]:
    yield bot_api
    bot_api.trouble = lambda _method, _asked: None


def state_of(app: Instance, text: str) -> list[tuple[Any, ...]]:
    query = (
        "SELECT d.state, d.again, d.last_error FROM delivery d JOIN outbox o ON o.id = d.outbox_id "
        "JOIN message m ON m.id = o.message_id WHERE m.text = ? ORDER BY d.part"
    )
    return rows(app, query, text)


def test_the_quiet_that_telegram_asks_for_is_kept_and_the_answer_comes_once(
    app: Instance, patient: Patient, trouble: BotApiServer
) -> None:
    count = len(patient.got)
    trouble.trouble = only(patient.chat, Fault("quiet", 2))
    began = time.monotonic()
    patient.send(text="does it hurt, quiet?")
    answer = patient.next(count)
    assert time.monotonic() - began >= 2
    trouble.wait_for(lambda: settled(app))
    assert len(patient.got) == count + 1 and "Sent again" not in answer.text
    assert state_of(app, "does it hurt, quiet?") == [("sent", 0, None)]


def test_what_surely_did_not_arrive_is_sent_again_without_a_word(
    app: Instance, patient: Patient, trouble: BotApiServer
) -> None:
    count = len(patient.got)
    trouble.trouble = only(patient.chat, Fault("error"), Fault("error"))
    patient.send(text="does it hurt, error?")
    answer = patient.next(count)
    trouble.wait_for(lambda: settled(app))
    assert len(patient.got) == count + 1 and "Sent again" not in answer.text


@pytest.mark.parametrize(("fault", "times"), [("cut_after", 2), ("cut_before", 1), ("proxy", 1)])
def test_an_answer_that_may_have_arrived_is_sent_again_and_says_so(
    app: Instance, patient: Patient, trouble: BotApiServer, fault: str, times: int
) -> None:
    count = len(patient.got)
    trouble.trouble = only(patient.chat, Fault(fault))
    text = f"does it hurt, {fault}?"
    patient.send(text=text)
    trouble.wait_for(lambda: len(patient.got) == count + times)
    trouble.wait_for(lambda: settled(app))
    assert len(patient.got) == count + times
    assert patient.got[-1].text.startswith("Sent again, because it may not have reached you")
    assert state_of(app, text) == [("sent", 1, None)]


def test_an_urgent_card_that_may_not_have_arrived_is_sent_again_at_once(
    app: Instance, patient: Patient, trouble: BotApiServer
) -> None:
    count = len(patient.got)
    trouble.trouble = only(patient.chat, Fault("cut_after"))
    patient.send(text="I cannot breathe and my throat closes")
    trouble.wait_for(lambda: len(patient.got) == count + 2, 5)
    assert "Sent again" in patient.got[-1].text and "Emergency" in patient.got[-1].text
    trouble.wait_for(lambda: settled(app))
    assert len(patient.got) == count + 2
    trouble.wait_for(lambda: state_of(app, "I cannot breathe and my throat closes") == [("sent", 1, None)])


def test_html_that_telegram_does_not_take_goes_as_plain_text(patient: Patient, trouble: BotApiServer) -> None:
    count = len(patient.got)
    trouble.trouble = only(patient.chat, Fault("entities"))
    patient.send(text="does it hurt?")
    answer = patient.next(count)
    assert answer.html == answer.text and "<b>" not in answer.html and "hurt" in answer.text


def test_who_blocks_the_bot_is_left_alone_until_they_write_again(
    app: Instance, patient: Patient, trouble: BotApiServer
) -> None:
    count = len(patient.got)
    trouble.trouble = only(patient.chat, Fault("blocked"))
    patient.send(text="does it hurt, blocked?")
    trouble.wait_for(lambda: state_of(app, "does it hurt, blocked?") == [("failed", 0, "Forbidden")])
    conversation = conversation_of(app, "does it hurt, blocked?")
    assert rows(app, "SELECT state FROM telegram_chat WHERE conversation_id = ?", conversation) == [("blocked",)]
    assert "hurt" in patient.say("does it hurt?").text
    assert len(patient.got) == count + 1
    assert rows(app, "SELECT state FROM telegram_chat WHERE conversation_id = ?", conversation) == [("active",)]


@pytest.mark.parametrize("method", ["editMessageReplyMarkup", "answerCallbackQuery"])
def test_an_optional_call_that_fails_never_stops_an_answer(
    patient: Patient, bot_api: BotApiServer, method: str
) -> None:
    first = patient.say("does it hurt?")
    bot_api.faults[method] = [Fault("error")] * 3
    assert "hurt" in patient.pressed(first, first.titles[0]).text
    bot_api.faults[method] = []


# -- what nobody asked for ----------------------------------------------------------------------------------------


def put_into_the_outbox(app: Instance, conversation: str, text: str, sender: str) -> None:
    """What staff or a check-in write: a row of the outbox that answers no message, put there by another process."""
    connection = sqlite3.connect(app.database.removeprefix("sqlite:///"), timeout=20)
    with connection:
        connection.execute("UPDATE conversation SET last_event = last_event + 1 WHERE id = ?", (conversation,))
        connection.execute(
            "INSERT INTO outbox (conversation_id, event, sender, reply, created_at) SELECT id, last_event, ?, "
            "json_object('kind', 'handover', 'topic', 'human', 'text', ?), datetime('now') "
            "FROM conversation WHERE id = ?",
            (sender, text, conversation),
        )
    connection.close()


def test_whatever_the_outbox_holds_arrives_and_stop_ends_what_nobody_asked_for(
    app: Instance, patient: Patient, bot_api: BotApiServer
) -> None:
    patient.say("when can I swim, nurul asks")
    conversation = conversation_of(app, "when can I swim, nurul asks")
    count = len(patient.got)
    put_into_the_outbox(app, conversation, "This is Sister Tan of the clinic.", "staff")
    assert patient.next(count).text == "This is Sister Tan of the clinic."
    assert "no more messages unless you write" in patient.say("/stop").text
    count = len(patient.got)
    put_into_the_outbox(app, conversation, "How is your skin today?", "assistant")
    assert "swim" in patient.say("when can I swim?").text
    bot_api.wait_for(lambda: settled(app))
    assert len(patient.got) == count + 1
    states = "SELECT d.state, d.last_error FROM delivery d JOIN outbox o ON o.id = d.outbox_id WHERE o.reply LIKE ?"
    assert rows(app, states, "%How is your skin%") == [("cancelled", "stopped")]
    patient.say("/start")
    count = len(patient.got)
    put_into_the_outbox(app, conversation, "And today?", "assistant")
    assert patient.next(count).text == "And today?"


def test_staff_take_over_a_telegram_chat_and_give_it_back(
    app: Instance, patient: Patient, bot_api: BotApiServer
) -> None:
    patient.say("when can I swim, puteri asks")
    conversation = conversation_of(app, "when can I swim, puteri asks")
    transcript = f"/staff/conversations/{conversation}"
    database = connect(app.database)
    accounts.add(database, "Sister Tan", PASSWORD, "reviewer")
    database.dispose()
    desk = app.http(follow_redirects=True)
    assert sign_in(desk, "Sister Tan", PASSWORD).status_code == 200

    def step(act: str, **form: str) -> str:
        count = len(patient.got)
        done = desk.post(f"{transcript}/{act}", data={**form, "_csrf_token": token_in(desk.get(transcript).text)})
        assert done.status_code == 200
        return patient.next(count).text

    assert "has joined this chat" in step("step-in")
    assert "is with the staff" in patient.say("but the pool is so nice").text
    said = step("write", text="Please wait <b>two</b> days. & call us")
    assert said == "Please wait <b>two</b> days. & call us", "what staff write is text, not markup"
    count = len(patient.got)
    patient.send(text="ok thank you")
    bot_api.wait_for(lambda: settled(app))
    assert len(patient.got) == count, "the assistant is quiet"
    card = patient.say("my tongue is swelling and I cannot breathe")
    assert "Emergency" in card.text, "safety is not"
    count = len(patient.got)
    picture = patient.send(photo=[{"file_id": "x", "file_unique_id": "x", "width": 1, "height": 1}])
    assert picture and patient.next(count).text
    assert "have left this chat" in step("give-back")
    bot_api.wait_for(lambda: settled(app))
    page = desk.get(transcript).text
    assert page.count("<strong>delivered</strong>") >= 6
    assert "&lt;b&gt;two&lt;/b&gt;" in page


def test_an_app_that_is_killed_while_it_answers_leaves_no_apology_behind(
    app: Instance, patient: Patient, bot_api: BotApiServer, engine: Engine
) -> None:
    count = len(patient.got)
    engine.freeze()
    try:
        patient.send(text="when can I swim, salmah asks")
        bot_api.wait_for(
            lambda: rows(app, "SELECT 1 FROM message WHERE text LIKE '%salmah asks' AND state = 'accepted'")
        )
        app.kill()
    finally:
        engine.thaw()
    app.start()
    assert "swim" in patient.next(count).text
    bot_api.wait_for(lambda: settled(app))
    assert len(patient.got) == count + 1


def test_an_optional_message_that_may_have_arrived_is_not_sent_again(
    app: Instance, patient: Patient, trouble: BotApiServer
) -> None:
    patient.say("when can I swim, farah asks")
    count = len(patient.got)
    trouble.trouble = only(patient.chat, Fault("cut_after"))
    put_into_the_outbox(app, conversation_of(app, "when can I swim, farah asks"), "A check-in.", "assistant")
    patient.next(count)
    trouble.wait_for(lambda: settled(app))
    assert [one.text for one in patient.got[count:]] == ["A check-in."]
    states = "SELECT d.state FROM delivery d JOIN outbox o ON o.id = d.outbox_id WHERE o.reply LIKE '%A check-in.%'"
    assert rows(app, states) == [("unclear",)]


# -- the operator -------------------------------------------------------------------------------------------------


def examined(server: BotApiServer, app: Instance, **settings: Any) -> str:
    """What the doctor says with these settings, without what is as it should be."""
    configured = Settings(
        **{"secret_key": SECRET, "telegram_bot_token": TOKEN, "telegram_api_base_url": server.url, **settings}
    )

    async def look() -> list[Finding]:
        database = connect_async(app.database)
        try:
            return await examine(read_telegram(configured), database)
        finally:
            await database.dispose()

    found = asyncio.run(look())
    assert TOKEN.split(":")[1] not in str(found)
    return "; ".join(one.text for one in found if one.kind == "problem")


def test_the_doctor_says_what_is_set_what_telegram_says_and_what_to_mend(app: Instance, bot_api: BotApiServer) -> None:
    healthy = app.command("telegram", "doctor")
    assert healthy.returncode == 0, healthy.stdout
    assert "@needlepoint_test_bot" in healthy.stdout and "polling" in healthy.stdout
    assert TOKEN.split(":")[1] not in healthy.stdout + healthy.stderr
    with BotApiServer() as other:
        assert examined(other, app) == ""
        other.webhook = {"url": "https://elsewhere.example/hook", "allowed_updates": ["message"]}
        assert "NEEDLEPOINT_TELEGRAM_UPDATES=webhook" in examined(other, app)
        posted = {"telegram_updates": "webhook", "public_url": "https://chat.clinic.example"}
        assert "not to https://chat.clinic.example/telegram/webhook" in examined(other, app, **posted)
        other.webhook = {
            "url": "https://chat.clinic.example/telegram/webhook",
            "allowed_updates": ["message"],
            "pending_update_count": 400,
            "last_error_date": 1,
            "last_error_message": "Wrong response from the webhook: 403 Forbidden",
        }
        said = examined(other, app, **posted)
        assert "other kinds" in said and "400 updates wait" in said and "restart the app" in said
        assert "does not know this token" in examined(other, app, telegram_bot_token="1:" + "x" * 35)
    assert "cannot be reached" in examined(other, app)
    assert "BotFather" in examined(other, app, telegram_bot_token="")


def test_neither_token_nor_words_nor_chat_ids_are_in_log_or_database(app: Instance, bot_api: BotApiServer) -> None:
    teller = Patient(bot_api, 6_543_210_987).agrees()
    teller.say("does it hurt? call me on 012-345 6789, schadenfreude")
    bot_api.wait_for(lambda: settled(app))
    log, database = app.whole_log(), whole_database(app)
    for secret in (TOKEN.split(":")[1], "schadenfreude", "6543210987", "345 6789"):
        assert secret not in log
    for secret in (b"6543210987", b"345 6789", TOKEN.split(":")[1].encode()):
        assert secret not in database
    assert rows(app, "SELECT count(*) FROM telegram_update WHERE done_at IS NOT NULL AND content IS NOT NULL") == [(0,)]
    assert rows(app, "SELECT redacted FROM message WHERE text LIKE '%schadenfreude%'") == [('["phone"]',)]


def test_the_transcript_at_the_desk_says_how_each_reply_reached_the_person(app: Instance, patient: Patient) -> None:
    patient.say("when can I swim, hidayah asks")
    conversation = conversation_of(app, "when can I swim, hidayah asks")
    database = connect(app.database)
    accounts.add(database, "Nurse Aida", PASSWORD, "viewer")
    database.dispose()
    with app.http(follow_redirects=True) as desk:
        assert sign_in(desk, "Nurse Aida", PASSWORD).status_code == 200
        page = desk.get(f"/staff/conversations/{conversation}").text
    assert "Telegram:" in page and "<strong>delivered</strong>" in page


def test_updates_of_every_kind_leave_the_channel_working(patient: Patient, bot_api: BotApiServer) -> None:
    for kind in ("channel_post", "poll", "poll_answer", "message_reaction", "chat_member", "a_kind_of_next_year"):
        bot_api.push(**{kind: {"id": "1", "chat": {"id": 1, "type": "channel"}}})
    bot_api.push(message=None)
    bot_api.push(message={"message_id": 1})
    bot_api.push(edited_message={"chat": {"id": "x"}})
    bot_api.push(callback_query={"id": 7})
    assert "hurt" in patient.say("does it hurt?").text


def test_health_is_told_without_asking_telegram(app: Instance) -> None:
    assert httpx.get(f"{app.url}/health/ready", timeout=5, trust_env=False).status_code == 200

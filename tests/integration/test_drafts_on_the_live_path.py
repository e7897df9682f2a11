"""A draft tried on the live path, and questions that got no answer, with a real engine."""

from __future__ import annotations

import html
import re
import uuid
from collections.abc import Callable, Iterator
from functools import cache

import httpx
import pytest
from sqlalchemy import text

from needlepoint.db.connect import connect
from needlepoint.faq import store
from needlepoint.staff import accounts
from tests.desk import sign_in, token_in
from tests.running import Engine, Instance, Laboratory

PASSWORD = "correct horse battery"
STAFF = {"Nurse Aida": "viewer", "Nurse Bo": "editor", "Dr Lim": "approver", "Mei": "admin"}

#: Not stored anywhere, and understood.
REDNESS = "for about how many days does the redness stay on the face"


@pytest.fixture(scope="module")
def clinic(laboratory: Laboratory, engine: Engine) -> Iterator[Instance]:
    instance = laboratory.instance([engine])
    database = connect(instance.database)
    for name, role in STAFF.items():
        accounts.add(database, name, PASSWORD, role)
    database.dispose()
    yield instance
    instance.stop()


@pytest.fixture(scope="module")
def desk(clinic: Instance) -> Callable[[str], Desk]:
    return cache(lambda name: Desk(clinic, name))


class Desk:
    """The desk for one person who is signed in."""

    def __init__(self, clinic: Instance, name: str) -> None:
        self._http = clinic.http(follow_redirects=True)
        self._csrf = token_in(sign_in(self._http, name, PASSWORD).text)

    def get(self, path: str) -> httpx.Response:
        return self._http.get(f"/staff{path}")

    def post(self, path: str, **form: object) -> httpx.Response:
        return self._http.post(f"/staff{path}", data={"_csrf_token": self._csrf, **form}, timeout=120)


def rows(clinic: Instance, statement: str) -> list[tuple[object, ...]]:
    database = connect(clinic.database)
    with database.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(statement))]
    database.dispose()
    return found


def given(reply: dict[str, object]) -> list[str]:
    answers = reply["reply"]["answers"]  # type: ignore[index]
    return [one["entry_id"] for one in answers]


def form_of(page: str, **changed: str) -> dict[str, str]:
    """The fields of the editor as they stand, some of them changed."""
    fields = {
        found[1]: html.unescape(found[2]).lstrip("\n")
        for found in re.finditer(r'<textarea id="[\w-]+" name="([\w-]+)".*?>(.*?)</textarea>', page, re.DOTALL)
    }
    question = re.search(r'name="question-en".*?value="(.*?)"', page)
    based_on = re.search(r'name="based_on" value="(\d+)"', page)
    assert question and based_on
    return {**fields, "question-en": html.unescape(question[1]), "based_on": based_on[1], **changed}


def lines_of(page: str, caption: str) -> dict[str, str]:
    """Each question of a table of the test, with the rest of its line in plain words."""
    table = re.search(rf'<caption id="{caption}">.*?</table>', page, re.DOTALL)
    assert table, f"no table {caption}"
    lines = re.findall(r'<th scope="row" role="rowheader">(.*?)</th>(.*?)</tr>', table[0], re.DOTALL)
    return {question: " ".join(re.sub(r"<[^>]+>", " ", rest).split()) for question, rest in lines}


def test_a_draft_that_takes_a_question_away_is_seen_before_patients_get_it(
    clinic: Instance, desk: Callable[[str], Desk]
) -> None:
    assert given(clinic.conversation().say(REDNESS)) == ["redness-duration"]
    editor = desk("Nurse Bo")
    page = editor.get("/answers/does-it-hurt/edit").text
    editor.post("/answers/does-it-hurt/edit", **form_of(page, **{"wordings-en": REDNESS}))
    before = rows(clinic, "SELECT (SELECT count(*) FROM conversation), (SELECT count(*) FROM message)")
    revision = rows(clinic, "SELECT revision FROM faq_publication")

    tried = desk("Nurse Bo").post("/answers/redness-duration/test")
    assert "right answer" in tried.text or "No worse than today" in tried.text, "by itself it is as it was"
    assert "✓ right" in lines_of(tried.text, "asked")[REDNESS]

    taken = editor.post("/answers/does-it-hurt/test").text
    assert re.search(r"Test of version 2", taken)
    assert "1 new wording would get this answer instead of the one that people get today" in taken
    assert re.search(r"✓ right .*“.*red.*”", lines_of(taken, "own")[REDNESS], re.IGNORECASE), "and whose it is today"
    own = lines_of(taken, "own")
    assert sum("✓ right" in line for line in own.values()) >= len(own) - 1
    assert len(lines_of(taken, "other")) == 20
    asked = re.search(r"(\d+) of (\d+) questions were asked in (\d+) seconds", taken)
    assert asked and asked[1] == asked[2] and int(asked[3]) <= 50

    assert rows(clinic, "SELECT (SELECT count(*) FROM conversation), (SELECT count(*) FROM message)") == before
    assert rows(clinic, "SELECT revision FROM faq_publication") == revision
    assert given(clinic.conversation().say(REDNESS)) == ["redness-duration"], "patients get what they got"
    assert desk("Nurse Aida").post("/answers/does-it-hurt/test").status_code == 403


def test_a_draft_that_is_not_given_yet_is_tried_as_if_it_were(clinic: Instance, desk: Callable[[str], Desk]) -> None:
    database = connect(clinic.database)
    store.withdraw(database, ["sun-after"], "Dr Lim")
    database.dispose()
    tried = lines_of(desk("Nurse Bo").post("/answers/sun-after/test").text, "own")
    assert tried and sum("✓ right" in line for line in tried.values()) >= len(tried) - 1
    assert rows(clinic, "SELECT withdrawn_by FROM faq_entry WHERE id = 'sun-after'") == [("Dr Lim",)]


def test_a_name_that_stands_in_for_nothing_fails_the_turn_and_no_other(clinic: Instance) -> None:
    call = {"next_action": "action_answer", "tracker": {"sender_id": "x", "slots": {}, "latest_message": {}}}
    headers = {"Authorization": "Bearer a-secret-for-tests-only-0123456789abcdef"}
    response = httpx.post(f"{clinic.webhook_url}?answers=long-over", json=call, headers=headers, trust_env=False)
    assert response.status_code == 500
    assert given(clinic.conversation().say("Does microneedling hurt?")) == ["does-it-hurt"]


def test_each_version_leads_to_the_conversations_that_were_given_it(
    clinic: Instance, desk: Callable[[str], Desk]
) -> None:
    entry, question = "exercise-after", "When can I exercise again?"
    first = [clinic.conversation() for _ in range(2)]
    for conversation in first:
        assert given(conversation.say(question)) == [entry]
    editor = desk("Nurse Bo")
    changed = form_of(editor.get(f"/answers/{entry}/edit").text, **{"answer-en": "Wait for two days."})
    editor.post(f"/answers/{entry}/edit", **changed)
    editor.post(f"/answers/{entry}/submit")
    desk("Dr Lim").post(f"/answers/{entry}/approve/2")
    later = clinic.conversation()
    for _ in range(40):
        if "Wait for two days." in str(later.say(question)):
            break
    page = desk("Nurse Aida").get(f"/answers/{entry}").text
    links = dict(re.findall(rf'href="(/staff\?entry={entry}&amp;version=\d+)">given in (\d+) conversation', page))
    assert set(links) == {f"/staff?entry={entry}&amp;version={number}" for number in (1, 2)}
    for version, of_it in ((1, first), (2, [later])):
        address = f"?entry={entry}&version={version}"
        listed = set(re.findall(r'href="/staff/conversations/([\w-]+)"', desk("Nurse Aida").get(address).text))
        assert {conversation.id for conversation in of_it} <= listed
        assert len(listed) == int(links[f"/staff?entry={entry}&amp;version={version}"])


def test_questions_without_an_answer_stand_together_and_lead_to_an_answer(
    clinic: Instance, desk: Callable[[str], Desk]
) -> None:
    dogs = ["can i take my dog to the appointment", "is it ok to bring my dog along?"]
    for words in dogs:
        assert clinic.conversation().say(words)["reply"]["kind"] == "decline"
    clinic.conversation().say("zorblax blorf, my number is 012-345 6789")
    hostile = clinic.conversation()
    hostile.say("<script>document.title = 'owned'</script> parking zorblax?")
    unhappy = clinic.conversation()
    said = unhappy.say("Does microneedling hurt?")
    with clinic.http() as http:
        http.put(
            f"/api/conversations/{unhappy.id}/events/{said['event_id']}/feedback",
            json={"helpful": False, "reason": "hard_to_understand"},
            headers=unhappy.headers,
        )
    clinic.staff_ask("a question that only staff asked zorblax")

    page = desk("Nurse Aida").get("/answers/unanswered").text
    groups = re.findall(r'<section class="card unanswered".*?</section>', page, re.DOTALL)
    dog = [group for group in groups if "my dog" in group]
    assert len(dog) == 1 and "asked 2 times" in dog[0], "like questions stand together"
    assert "[phone]" in page and "345 6789" not in page
    assert "&lt;script&gt;" in page and "<script>document" not in page
    assert "only staff asked" not in page
    hurt = next(group for group in groups if "/staff/answers/does-it-hurt" in group)
    assert "not helpful" in hurt and "hard to understand" in hurt and "closeness" in hurt
    assert "/edit?message=" not in page, "a viewer writes nothing"
    assert "my dog" not in desk("Nurse Aida").get("/answers/unanswered?reason=not_helpful").text
    assert desk("Nurse Aida").get("/answers/unanswered?days=x&reason=y").status_code == 200
    looked = rows(clinic, "SELECT count(*) FROM staff_activity WHERE what = 'read_unanswered'")
    assert looked == [(3,)]
    assert rows(clinic, "SELECT count(*) FROM staff_activity WHERE object_id LIKE '%dog%'") == [(0,)]

    # What a reviewer found goes before what the assistant thought.
    conversation = clinic.conversation()
    conversation.say("can i take my dog to the appointment")
    message = rows(clinic, f"SELECT id FROM message WHERE conversation_id = '{conversation.id}'")[0][0]
    desk("Dr Lim").post(
        f"/conversations/{conversation.id}/findings",
        message=str(message), right_entry="arrive-with-clean-skin", form_id=uuid.uuid4().hex,
    )  # fmt: skip
    page = desk("Nurse Bo").get("/answers/unanswered").text
    group = next(
        one for one in re.findall(r"<section class=.card unan.*?</section>", page, re.DOTALL) if "my dog" in one
    )
    assert 'href="/staff/answers/arrive-with-clean-skin"' in group and "Dr Lim found" in group
    link = re.search(rf'href="/staff(/answers/arrive-with-clean-skin/edit\?message={message})"', group)
    assert link
    edit = desk("Nurse Bo").get(link[1]).text
    assert form_of(edit)["wordings-en"] == "can i take my dog to the appointment"
    assert "owned" not in desk("Nurse Bo").get("/answers/does-it-hurt/edit?message=99999999").text

"""What a short answer to a yes-or-no question says: in English, Malaysian English and Malay, as people type.

It reads with care for the person: who adds something to a "no" ("no, stopped 3 months ago") has something to tell,
so that is a yes, and what is neither stays unread rather than being taken for a no.
"""

from __future__ import annotations

import re
from typing import Literal

Said = Literal["yes", "no", "unsure", "stop"]

#: Words that change nothing.
_FILLERS = frozenset(
    """lah la lor leh ah eh ar hmm hm um uh doc doctor dr doktor sis bro kak abang please pls tolong thanks thx
    tq sorry maaf well ok okay oh er""".split()
)
_YES = frozenset(
    """yes ya yea yeah yeap yep yup ye yah y yess correct right true betul ada have got definitely memang sure
    am do""".split()
)
_NO = frozenset(
    """no nope nah nay never none nil not n x tak tidak tiada takde takda xde xda bukan belum dont don't doesnt
    doesn't didnt didn't havent haven't hasnt hasn't isnt isn't aint ain't without negative""".split()
)
#: Said before the answer: "I am not", "saya tak".
_SUBJECTS = tuple(
    tuple(subject.split())
    for subject in ("i am", "i have", "i do", "i did", "i've", "ive", "i'm", "im", "i", "saya", "aku")
)
#: What follows a "no" and takes it back.
_BUT = re.compile(
    r"\b(but|tapi|except|only|although|though|used to|stopp?ed|anymore|any more|longer|ago|once|sometimes|kecuali|cuma"
    r"|dulu|kadang|unless)\b"
)
_UNSURE = re.compile(
    r"\b(not sure|not too sure|unsure|(do not|don't|dont|didn't|didnt) (really )?(know|remember|think)|dunno|idk"
    r"|no idea|no clue|not certain|maybe|perhaps|possibly|probably|i guess|i think|not really|might|could be"
    r"|can't remember|cant remember|cannot remember|forgot|skip|pass|next|rather not|prefer not"
    r"|(tak|x|tidak|kurang) ?(pasti|tahu|tau|ingat)|entah|mungkin|rasanya|lupa|langkau)\b"
)
_STOP = re.compile(
    r"(i (want|would like|wish) to |can we |let's |lets |nak |saya nak )?"
    r"(stop|cancel|quit|exit|end|abort|berhenti|henti|hentikan|batal|batalkan)"
    r"( (it|this|that|the check|the questions|check|here|now|asking|asking me|saja|je|semua|semakan|semakan ini|dulu))?"
    r"|(i )?(don't|dont|do not) want( to)?( (this|go on|continue|answer))?( anymore)?|no more( questions)?|enough"
    r"|forget it|never ?mind|leave it|(saya )?(tak|x|tidak) ?(nak|mahu|mau)( (dah|lagi|teruskan|jawab|sambung))*|cukup"
    r"|sudah cukup|dah cukup|lupakan( saja| je)?"
)
#: A detail that only who has (had) it can give: "3 months ago", "used to", "pernah".
_DETAIL = re.compile(
    r"\b(used to|stopp?ed|ago|in the past|previously|before|sometimes|occasionally|once|a (little|bit|few)"
    r"|last (week|month|year)|since|kadang|kadang-kadang|pernah|dulu|dah stop|(hari|minggu|bulan|tahun) (lepas|lalu)"
    r"|\d+ ?(days?|weeks?|wks?|months?|mths?|mo|years?|yrs?|hari|minggu|bulan|tahun))\b"
)
_NO_ANSWER = re.compile(r"no (worries|problem|prob|probs|need|thanks|thx|tq|thank you)")
_ASKING_FIRST = frozenset(
    """what whats what's how why when where which who whose can could does should is are will would may did
    apa apakah kenapa mengapa macam mcm bagaimana bila berapa boleh adakah siapa mana perlu""".split()
)
_ASKING_AFTER_DO = frozenset({"you", "i", "they", "we", "the"})


def read_answer(text: str) -> Said | None:
    """What the text answers, None where it does not answer or contradicts itself."""
    tokens = [token for token in _words(text) if token not in _FILLERS]
    said = " ".join(tokens)
    if not tokens or _NO_ANSWER.fullmatch(" ".join(_words(text))):
        return None
    if _STOP.fullmatch(said):
        return "stop"
    rest = _without_subject(tokens)
    if not rest:  # "I have", "I am"
        return "yes" if len(tokens) > 1 else None
    if set(rest) <= _NO:
        return "no"
    if set(rest) <= _YES:
        return "yes"
    if asks(text):
        return None
    if _UNSURE.search(said):
        return "unsure"
    if rest[0] in _NO:
        return "yes" if _BUT.search(said) else "no"
    if rest[0] in _YES and rest[0] not in {"am", "do", "have", "got", "right"}:
        return "yes"
    if re.search(r"\b(tak|x|tidak|belum|never)\b", said):
        return None
    if _DETAIL.search(said):
        return "yes"
    return None


def asks(text: str) -> bool:
    """Does the text ask something?"""
    tokens = [token for token in _words(text) if token not in _FILLERS]
    if "?" in text:
        return True
    if not tokens:
        return False
    asking_do = tokens[0] == "do" and len(tokens) > 1 and tokens[1] in _ASKING_AFTER_DO
    ends = tokens[-1] in {"ke", "kah", "tak", "anot"} and len(tokens) > 1
    return tokens[0] in _ASKING_FIRST or asking_do or ends or tokens[-2:] == ["or", "not"]


def denies(text: str) -> bool:
    """Is there a "no" or "not" anywhere in the text?"""
    return bool(_NO & set(_words(text)))


def numbers(text: str) -> list[int]:
    """The whole numbers in the text, in their order."""
    return [int(found) for found in re.findall(r"(?<![\d.,])\d{1,3}(?![\d.,]*\d)", text)]


def _without_subject(tokens: list[str]) -> list[str]:
    for subject in _SUBJECTS:
        if tuple(tokens[: len(subject)]) == subject:
            return tokens[len(subject) :]
    return tokens


def _words(text: str) -> list[str]:
    lowered = text.lower().replace("\u2019", "'")
    # "nooo", "yesss"
    return re.findall(r"[a-z0-9']+", re.sub(r"([a-z])\1{2,}", r"\1", lowered))

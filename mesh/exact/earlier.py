"""What stands before the last turn of a conversation, and whether it leaves values alone.

An earlier turn may have agreed on binary, on two decimals, on German, on a game; the assistant may
have asked something that a bare figure answers. Such agreements are an open set, so what passes is
a closed one: system texts of a few known sentences, greetings and thanks, and sums with the answers
that these tools give themselves. All else is silence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mesh.exact.base import QUICK_CHARACTERS, Declined, Exact, Problem, words
from mesh.exact.plain import plain
from mesh.exact.quick.calculator import Sum
from mesh.exact.reading import ANSWER_WORDS, answer, read
from mesh.exact.wanted import unasked
from mesh.types import Message, Role

# Turns and characters that are read, 3 ms at most; a sum takes some 6 µs a character.
_MOST_TURNS = 24
_MOST_CHARACTERS = 400
_MOST_SYSTEM_CHARACTERS = 300

_QUALITY = (
    "(?:(?:very |highly |always )?(?:helpful|friendly|polite|honest|harmless|useful|concise|smart"
    "|clever|knowledgeable|accurate|respectful|brief|kind|truthful|careful|precise|reliable))"
)
_QUALITIES = rf"{_QUALITY}(?:(?:,| and|, and) {_QUALITY})*"
_WHO = (
    "(?:(?:ai|general|digital|virtual|personal|math|maths|mathematics|large|language) )*"
    "(?:assistant|ai|chatbot|bot|calculator|expert|model)"
)
_SENTENCE = re.compile(
    rf"(?:you are|you're|this is) (?:an? |the )?(?:{_QUALITIES} )?{_WHO}"
    rf"(?: (?:who|that) is {_QUALITIES})?"
    rf"|(?:please )?be {_QUALITIES}"
    r"|(?:you )?(?:help|assist) (?:the )?users?"
    r"|answer (?:the user's |the users' |user |all )?questions(?: helpfully| accurately| honestly)?"
)
_ENDS = re.compile(r"[.!]\s*")

# What people and assistants say that is about nothing.
_GREETING = words(
    "hi hello hey there good morning afternoon evening thanks thank you thx ok okay great nice",
    "cool perfect awesome yes welcome you're so much a lot very please got it bye are how is",
)
_OFFER = re.compile(
    r"(?:(?:hi|hello|hey|good (?:morning|afternoon|evening)|sure|of course|okay|ok|you're welcome"
    r"|glad (?:to|i could) help|no problem|great|happy to help|welcome|i'm an? (?:ai )?assistant)"
    r"(?: there)?(?:[,.!]+\s*|\s+|$))*"
    r"(?:(?:how|what) (?:can|may|could) i (?:help|assist|do for)(?: you)?(?: with)?(?: today)?"
    r"(?: now)?[?.!]?)?(?:let me know if (?:you need|there is) anything else[.!]?)?"
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NUMBER = re.compile(r"-?[0-9][0-9,]*(?:\.[0-9]+)?")
_PLAINLY = re.compile(r"[\w .,!()'%$€£°²³√+*/=^×÷·-]*")
_IN_ANSWERS = ANSWER_WORDS | words("the answer result it's its that's so you get we approximately")


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """``sums``: it is sums, and their answers, and the last turn of it was such an answer."""

    sums: bool = False


def earlier(messages: Sequence[Message], today: date) -> Earlier | Declined:
    """What ``messages``, all turns before the last, come to; ``Declined`` with the first of them
    that may bind an answer."""
    said = sum(len(message.text) for message in messages if message.role is not Role.SYSTEM)
    if len(messages) > _MOST_TURNS or said > _MOST_CHARACTERS:
        return Declined(note="the conversation is too long to be sure of what was agreed on")
    sums, problem = False, None
    for message in messages:
        match message.role:
            case Role.SYSTEM:
                if not harmless(message.text):
                    return Declined(
                        note="the system text may ask for a form that a plain answer breaks"
                    )
            case Role.USER:
                problem = _problem(message.text, today, doing_sums=sums)
                if problem is None and not _greets(message.text):
                    return Declined(note="an earlier turn may have agreed on how to answer")
            case Role.ASSISTANT if problem is not None:
                if not _answers(message.text, problem):
                    return Declined(note="the answer before it is not in the tools' own terms")
                sums, problem = True, None
            case Role.ASSISTANT:
                sums = False
                if not _offers(message.text):
                    return Declined(note="it may answer what the assistant said before it")
            case _:
                return Declined(note="a tool's result stands before it")
    return Earlier(sums=sums)


def harmless(text: str) -> bool:
    """Whether a system text is nothing but such as "You are a helpful assistant."."""
    if len(text) > _MOST_SYSTEM_CHARACTERS:
        return False
    sentences = _ENDS.split(" ".join(text.lower().split()))
    return all(not each or _SENTENCE.fullmatch(each) is not None for each in sentences)


def _problem(text: str, today: date, *, doing_sums: bool) -> Problem | None:
    """The sum that an earlier turn is, whole."""
    problem = read(text, today)
    if problem is None or unasked(text, problem, doing_sums=doing_sums) is not None:
        return None
    return problem


def _greets(text: str) -> bool:
    said = text.lower().replace("’", "'")
    if len(text) > QUICK_CHARACTERS or any(sign.isdigit() for sign in text):
        return False
    return _GREETING.issuperset(_WORD.findall(said))


def _offers(text: str) -> bool:
    said = " ".join(text.lower().replace("’", "'").split())
    return len(said) <= QUICK_CHARACTERS and _OFFER.fullmatch(said) is not None


def _answers(text: str, problem: Problem) -> bool:
    """Whether an assistant's turn says what the tools would have said, and nothing of its own."""
    line = plain(text) if len(text) <= QUICK_CHARACTERS else None
    if not line or _PLAINLY.fullmatch(line) is None:
        return False
    said = line.lower()
    if not all(len(word) == 1 or word in _IN_ANSWERS for word in _WORD.findall(said)):
        return False
    if not isinstance(problem, Sum):
        return True
    ours = answer(problem)
    if not isinstance(ours, Exact):
        return False
    found = _NUMBER.search(ours.text)
    return found is not None and found[0] in {
        number.replace(",", "") for number in _NUMBER.findall(line)
    }

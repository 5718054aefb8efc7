"""Takes the politeness off a question: "hey, can you please tell me what 75 plus 43 is?"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mesh.exact.phrase import words_of

_OPENING = re.compile(
    r"(?:hey|hi|hello|okay|ok|so|well|um|uh|please|pls|plz|kindly|quickly|quick question)\b[ ,!:.]*"
)
_POLITE = re.compile(
    r"(?:(?:can|could|would|will|can't) (?:you|u|i|we) (?:please |kindly |quickly |just )?"
    r"(?:tell me|show me|give me|help me(?: to)?|help(?: me)? (?:find|figure) out|let me know)"
    r"|(?:can|could|would|will) (?:you|u|i|we) (?:please |kindly |quickly |just )?"
    r"(?=calculate|compute|work out|figure out|find|convert|add|subtract|multiply|divide|evaluate"
    r"|change|solve|do |get |how|what)"
    r"|(?:i|we) (?:just )?(?:need|want|would like|wanna|'d like)(?: you)?(?: to)?"
    r"(?: know| find out| find| figure out| calculate| compute| tell me)?"
    r"|i'd like to (?:know|find out)|i wanna know|i was wondering|i wonder"
    r"|do you (?:happen to )?know|(?:please )?(?:tell|give|show) me|let me know|help me"
    r"|any idea)\b[ ,:]*"
)
# What is wanted is no value: "I need 2 x 4".
_WISH = re.compile(r"(?:i|we) (?:just )?(?:need|want|would like|wanna|'d like)(?: to)?[ ,:]*")
_VERB = re.compile(
    r"(?:calculator|calculate|compute|evaluate|work out|figure out|find(?: out)?|solve|determine"
    r"|provide|do the math(?: on)?"
    r"|the (?:answer|solution|result) (?:to|of|for)|the value of)\b[ ,:]*"
)
# Of these, the ones that ask for nothing but a value: one finds a file, and works out twice a week.
_SURE = re.compile(r"(?:calculator|calculate|compute|evaluate|solve|do the math)\b")
_QUESTION = re.compile(
    r"(?:what(?:'s| s| is| are| does| do|s| was| would be| would| will be| will)"
    r"|how much(?: is|'s| are| does| would be| do)|wat is|what)\b[ ,:]*"
)
_IF = re.compile(
    r"(?:(?:do )?(?:you|i|we) get (?:if|when) (?:you|i|we)|happens (?:if|when) (?:you|i))\b *"
)
_CLOSING = re.compile(
    r"[ ,]*(?:\b(?:please|pls|plz|thanks|thank you|thx|for me|equal(?:s)?(?: to)?(?: what)?"
    r"|is (?:equal to )?what|right now)|[?.!]|=)[ ?.]*$"
)
_MOST = 6


@dataclass(frozen=True, slots=True)
class Asked:
    """``text``: what is left. ``question``: words such as "what is" were there. ``verb``: words
    such as "calculate" or "find", or a closing "="; ``sure``: of these such as ask for a value and
    nothing else; ``what``: a question word was there. ``wish``: it began with "I need" and not with
    what for."""

    text: str
    question: bool = False
    verb: bool = False
    sure: bool = False
    what: bool = False
    wish: bool = False


def unwrap(text: str) -> Asked:
    """``text``: plain and in lower case. Never takes a number, an operator or a unit away, except
    an exclamation mark and a full stop at the very end after a word."""
    text = " ".join(text.split())
    question = what = wish = False
    text, verb = _closed(text)
    if text.startswith("= "):  # as in a table's field
        text, verb = text[2:], True
    sure = verb
    for _ in range(_MOST):
        before = text
        text = _without(_OPENING, text)
        if (rest := _without(_POLITE, text)) != text:
            wish = wish or _WISH.fullmatch(text[: len(text) - len(rest)]) is not None
            text = rest
        if (rest := _without(_VERB, text)) != text:
            sure = sure or _SURE.match(text) is not None
            text, verb, question = rest, True, True
        if (rest := _without(_QUESTION, text)) != text:
            text, question, what = _without(_IF, rest), True, True
            if text != rest:
                verb = sure = True
        if text == before:
            break
    if question and text.endswith((" is", " are", " be", " equal")):
        text = text.rpartition(" ")[0]
    return Asked(text.strip(" ,:"), question, verb, sure, what, wish)


def _closed(text: str) -> tuple[str, bool]:
    equals = False
    for _ in range(_MOST):
        match = _CLOSING.search(text)
        if match is None:
            break
        said = match.group()
        # "5!" is a factorial; only after a word is the mark plainly a tone of voice.
        if "!" in said and not text[: match.start()][-1:].isalpha():
            break
        equals = equals or "=" in said or "equal" in said or "what" in said
        text = text[: match.start()]
    return text, equals


def _without(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.match(text)
    return text[match.end() :] if match else text


# Every word that the patterns above can take away.
POLITE_WORDS = frozenset({"whats", "equals"}) | words_of(
    _OPENING, _POLITE, _VERB, _QUESTION, _IF, _CLOSING
)

"""Phrases that prompts have in common: runs of one to five words, some with a gap, and the pattern
that finds each of them in a text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from orchestrator.router.folding import shown

LONGEST = 5
# Words of a prompt that are looked at: what a prompt wants stands at its beginning or its end.
HEAD_WORDS = 48
TAIL_WORDS = 24
MAX_PHRASES = 1_000_000  # counted at a time; those seen once are forgotten at the limit
GAP_WORDS = 3

START = "^"  # the prompt's beginning
NUMBER = "#"
GAP = "*"  # one to three words
_BREAK = ""  # a word that is not to be seen, or a border that no phrase crosses

Phrase = tuple[str, ...]

_WORD = re.compile(
    r"(?P<number>\d[\d.,]*)|(?P<word>[^\W\d_]+(?:'[^\W\d_]+)?)|(?P<end>[.!?;:]\s|\n)"
)
# What redaction makes of a word. A word of x's alone (a Roman numeral) is not missed.
# Between words, of a pattern: no letter of any script.
_BLANK = r"[^\w\x{c0}-\x{1fff}\x{2c00}-\x{ffff}]"
_MASK = re.compile(r"[xX]+(?:'[^\W\d_]+)?")


def words_of(prompt: str) -> list[str]:
    """The words, lower-case; numbers are ``#``, masked words "" and so are sentences' ends."""
    found: list[str] = [START]
    for match in _WORD.finditer(shown(prompt)):
        match match.lastgroup:
            case "number":
                found.append(NUMBER)
            case "word" if not _MASK.fullmatch(match[0]):
                found.append(match[0].lower())
            case _:
                found.append(_BREAK)
    if len(found) <= HEAD_WORDS + TAIL_WORDS:
        return found
    return [*found[:HEAD_WORDS], _BREAK, *found[-TAIL_WORDS:]]


def phrases_of(words: Sequence[str], frequent: set[str]) -> set[Phrase]:
    """The phrases in ``words`` that consist of ``frequent`` words: up to five in a row, and two or
    three with a gap of one to three words (seen or not) behind the first, or before the last."""
    found: set[Phrase] = set()
    count = len(words)
    for at, first in enumerate(words):
        if first not in frequent:
            continue
        phrase: Phrase = ()
        for word in words[at : at + LONGEST]:
            if word not in frequent:
                break
            phrase = (*phrase, word)
            found.add(phrase)
        for second in range(at + 2, min(at + 2 + GAP_WORDS, count)):
            last = words[second]
            if last not in frequent or last == START:
                continue
            found.add((first, GAP, last))
            if second + 1 < count and words[second + 1] in frequent:
                found.add((first, GAP, last, words[second + 1]))
            if at > 0 and words[at - 1] in frequent:
                found.add((words[at - 1], first, GAP, last))
    found.discard((START,))
    found.discard((NUMBER,))
    return {phrase for phrase in found if any(w not in (START, NUMBER, GAP) for w in phrase)}


def frequent_words(prompts: Iterable[Sequence[str]], least: int) -> set[str]:
    counted: Counter[str] = Counter()
    for words in prompts:
        counted.update(set(words))
    counted[_BREAK] = 0
    return {word for word, number in counted.items() if number >= least}


def frequent_phrases(
    prompts: Iterable[Sequence[str]], frequent: set[str], least: int
) -> dict[Phrase, int]:
    """Phrases in at least ``least`` prompts, and in how many."""
    counted: Counter[Phrase] = Counter()
    for words in prompts:
        counted.update(phrases_of(words, frequent))
        if len(counted) > MAX_PHRASES:
            counted = Counter({phrase: n for phrase, n in counted.items() if n > 1})
            if len(counted) > MAX_PHRASES // 2:
                counted = Counter(dict(counted.most_common(MAX_PHRASES // 2)))
    return {phrase: number for phrase, number in counted.items() if number >= least}


def pattern_of(phrase: Phrase) -> str:
    """The pattern for a rule. Between words stands what is no word: blanks, commas, quotes."""
    out = ""
    before = ""
    for word in phrase:
        match word:
            case "^":
                out = f"^{_BLANK}*"
            case "*":
                out += rf"{_BLANK}+(?:[\w'.,-]+{_BLANK}+){{1,{GAP_WORDS}}}"
            case _:
                if before not in ("", START, GAP):
                    out += f"{_BLANK}+"
                elif before == "":
                    out += r"\b"
                out += r"\d[\d.,]*" if word == NUMBER else re.escape(word)
        before = word
    return out if before == NUMBER else out + r"\b"


def name_of(phrase: Phrase) -> str:
    """For a rule's name: ``what-is-the``, ``start-convert-number-any-to``."""
    spoken = {START: "start", NUMBER: "number", GAP: "any"}
    return "-".join(spoken.get(word, word.replace("'", "")) for word in phrase)

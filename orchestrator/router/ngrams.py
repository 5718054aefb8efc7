"""A prompt as numbers for the linear classifier: hashed n-grams, and what its shape says.

Four groups, each scaled to length one, so that a long prompt weighs no more than a short one:

* words: every word and pair of neighbours, numbers as ``#``;
* skeleton: runs of two to four tokens in which only the language's own small words keep their
  name; content words, names, numbers, units and letters are a class each. "How many w does C
  have" is the same for all apples and all Janets, which is what carries over to unseen sets;
* characters: runs of three to five, which typos leave mostly alone;
* shape: about sixty plain measures (see ``shape``).

Hashing trick: Weinberger et al. 2009, without the sign. Cost is bounded: of a long prompt its first
and last characters are read, the question being at one of the two ends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import log1p
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from orchestrator.router.lexicon import CLASSES, KEPT, SKELETON

WORD_BUCKETS = 1 << 16
SKELETON_BUCKETS = 1 << 15
CHARACTER_BUCKETS = 1 << 15
HEAD, TAIL = 700, 400  # characters that words are read from
CHARACTER_HEAD, CHARACTER_TAIL = 260, 200  # and those that runs of characters are read from

_TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+(?:[.,]\d+)*|\n+|[^\w\s]|\w")
_BLANK = re.compile(r"\s+")
_DIGIT = re.compile(r"\d")
_JOINED = re.compile(r"[a-z][A-Z][a-z]")
_YEAR = re.compile(r"1[4-9]\d\d|20[0-3]\d")

# What to look for, and plain strings without which it cannot be there: looking for those first
# makes the whole four times faster. "0" stands for any digit.
_FLAGS: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (needs, re.compile(pattern))
    for needs, pattern in (
        (("```",), r"```"),
        (
            (
                *("def", "class", "import", "from", "public", "private", "function"),
                *("fn", "func", "const", "let", "var", "#include"),
            ),
            r"(?m)^\s*(?:def|class|import|from|public|private|function|fn|func|const|let|var"
            r"|#include)\b",
        ),
        ((";", "{", "}"), r"(?m)[;{}]\s*$"),
        (("    ", "\t"), r"(?m)^(?:    |\t)\S"),
        (("(",), r"\w\(\w*[),]"),
        (("_",), r"[a-z]_[a-z]"),  # or a word with a capital inside, which the words know
        (("=", ">", "++", "&&", "||", "::"), r"==|!=|<=|>=|=>|->|\+\+|&&|\|\||::"),
        ((">>>", '"""', "'''"), r">>>|\"\"\"|'''"),
        (("$", "\\"), r"\$[^$\n]{1,80}\$|\\[a-z]{2,}|\\\["),
        (
            tuple(letter + mark for letter in "ABCDE" for mark in ").:"),
            r"(?:^|\s)\(?[A-E][).:]\s?\S",
        ),
        ((") ", ")\n"), r"(?:^|\s)\(?[a-e1-5]\)\s"),
        (("0",), r"\d\s*[-+*/x×÷^%]\s*\(?-?\d"),
        (
            ("0", "^", "**", "∫", "∑", "√", "≤", "≥", "∈", "π"),
            r"(?<![\w$])[a-z](?:\^|\*\*|\s*[-+=]\s*\d)|\d[a-z]\b|[∫∑√≤≥∈π]",
        ),
        (("$", "€", "£", "dollars", "cents", "euros"), r"[$€£]\s?\d|\d+ (?:dollars|cents|euros)"),
        (("%", "percent"), r"\d\s?%|\bpercent"),
        (("→", "∧", "∨", "¬", "⊢", "∀", "∃"), r"[→∧∨¬⊢∀∃]"),
        ((". ", "! ", "? ", "\n"), r"[.!?]\s+[A-Z]"),
        (("\n",), r"(?m)^\s*[-*•]\s|\n\s*\n"),
        (("___", "..."), r"_{3,}|\.{3}\s*$"),
        (
            (":",),
            r"(?i)\b(?:input|output|example|examples|constraints|options|premises?|context)\s*\d?:",
        ),
    )
)
_NAMES_LIKE_CODE = 5  # place of the flag for snake_case among the flags
SHAPE_SIZE = 2 * len(CLASSES) + len(_FLAGS) + 19
SIZE = WORD_BUCKETS + SKELETON_BUCKETS + CHARACTER_BUCKETS + SHAPE_SIZE

_GROUP_SCALE = (1.0, 1.0, 0.6)  # words, skeleton, characters; chosen on held-out sources
_SHAPE_SCALE = 0.5


@dataclass(frozen=True, slots=True)
class _Word:
    """What is known of a token wherever it stands. ``bone``: its skeleton, but for capitals."""

    hashed: int
    bone: str
    bone_hashed: int
    classes: tuple[int, ...]
    kind: int
    joined: bool


_NUMBER, _LETTERS, _CAPITAL, _MARK = range(4)
_KNOWN_LIMIT = 1 << 15  # tokens; those that come later are worked out each time
_KNOWN: dict[str, _Word] = {}


def vector(text: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices (below ``SIZE``) and values of what is not zero. Never raises for any text."""
    read = text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"
    words = [_KNOWN.get(token) or _word(token) for token in _TOKEN.findall(read)]
    parts: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float32]] = []
    start = 0
    for found, scale, size in (
        (_runs([w.hashed for w in words], (1, 2), WORD_BUCKETS), _GROUP_SCALE[0], WORD_BUCKETS),
        (_runs(_skeleton(words), (2, 3, 4), SKELETON_BUCKETS), _GROUP_SCALE[1], SKELETON_BUCKETS),
        (_characters(read), _GROUP_SCALE[2], CHARACTER_BUCKETS),
    ):
        parts.append(found + start)
        values.append(np.full(len(found), scale / max(1, len(found)) ** 0.5, np.float32))
        start += size
    parts.append(_SHAPE_INDICES)
    values.append(shape(read, words, len(text)) * np.float32(_SHAPE_SCALE))
    return np.concatenate(parts), np.concatenate(values)


def _word(token: str) -> _Word:
    small = token.lower()
    first = token[0]
    bone, text = SKELETON.get(small, ""), small
    if first.isdigit():
        kind = _NUMBER
        bone = text = "#Y" if _YEAR.fullmatch(token) else "#"
    elif first.isalpha():
        kind = _CAPITAL if first.isupper() else _LETTERS
        bone = bone or ("v" if len(token) == 1 else "w")
        if bone == "#" and small not in KEPT:
            text = "#w"
    else:
        kind = _MARK
        bone = text = "\n" if first == "\n" else token
    made = _Word(
        _hash(text),
        bone,
        _hash(bone),
        _CLASS_OF.get(small, ()),
        kind,
        _JOINED.search(token) is not None,
    )
    if len(_KNOWN) < _KNOWN_LIMIT and len(token) <= _KNOWN_CHARACTERS:
        _KNOWN[token] = made
    return made


def _hash(text: str) -> int:
    return crc32(text.encode("utf-8", "replace"))


_KNOWN_CHARACTERS = 24
_START, _END, _NAME = _hash("^"), _hash("$"), _hash("C")


def _skeleton(words: list[_Word]) -> list[int]:
    """Runs of content words, names and line breaks count once. A capital makes a name of a content
    word, unless a sentence begins there."""
    bones = [_START]
    before = "^"
    for word in words:
        bone, hashed = word.bone, word.bone_hashed
        if bone == "w" and word.kind == _CAPITAL and before not in ("^", ".", "\n", "?"):
            bone, hashed = "C", _NAME
        if bone != before or bone not in ("w", "C", "\n"):
            bones.append(hashed)
            before = bone
    bones.append(_END)
    return bones


def _runs(hashes: list[int], lengths: tuple[int, ...], buckets: int) -> NDArray[np.int64]:
    """Buckets of all runs of these lengths, each once."""
    single = np.array(hashes, np.uint64)
    found = []
    for length in lengths:
        count = len(single) - length + 1
        if count <= 0:
            continue
        run = single[:count] * np.uint64(0x9E3779B97F4A7C15 + 2 * length)
        for place in range(1, length):
            run = (run ^ single[place : place + count]) * np.uint64(0xC2B2AE3D27D4EB4F)
        found.append(run)
    return _once(found, buckets)


_STEP = np.uint64(0x100000001B3)
_LENGTH_MARK = {
    length: np.uint64((length << 8) * 0x100000001B3 ** (length - 1) % (1 << 64))
    for length in (3, 4, 5)
}


def _characters(text: str) -> NDArray[np.int64]:
    if len(text) > CHARACTER_HEAD + CHARACTER_TAIL:
        text = f"{text[:CHARACTER_HEAD]} {text[-CHARACTER_TAIL:]}"
    plain = _DIGIT.sub("0", _BLANK.sub(" ", f" {text.lower()} "))
    data = np.frombuffer(plain.encode("utf-8", "replace"), np.uint8).astype(np.uint64)
    found = []
    run = data
    for length in (2, 3, 4, 5):  # each run is the one before it and one more character
        count = len(data) - length + 1
        if count <= 0:
            break
        run = run[:count] * _STEP + data[length - 1 :]
        if length > 2:
            found.append((run + _LENGTH_MARK[length]) * np.uint64(0x9E3779B97F4A7C15))
    return _once(found, CHARACTER_BUCKETS)


def _once(runs: list[NDArray[np.uint64]], buckets: int) -> NDArray[np.int64]:
    if not runs:
        return np.empty(0, np.int64)
    # The high bits: a multiplication mixes upwards only.
    every = (np.concatenate(runs) >> np.uint64(40)) & np.uint64(buckets - 1)
    every.sort()
    keep = np.empty(len(every), np.bool_)
    keep[0] = True
    np.not_equal(every[1:], every[:-1], out=keep[1:])
    return every[keep].astype(np.int64)


def shape(text: str, words: list[_Word], length: int) -> NDArray[np.float32]:
    """Counts and shares of word classes, marks of code, formulas and options, lengths. Each is
    about 0 to 1.5. ``length``: the whole prompt's characters."""
    kinds = [0, 0, 0, 0]
    classes: list[int] = []
    joined = False
    for word in words:
        joined |= word.joined
        kinds[word.kind] += 1
        if word.classes:
            classes += word.classes
    numbers, small, capitals, marks = kinds
    letters = small + capitals
    total = max(1, len(words))
    made = np.empty(SHAPE_SIZE, np.float32)
    counts = np.bincount(classes, minlength=_CLASS_COUNT) if classes else _NO_CLASSES
    made[:_CLASS_COUNT] = np.log1p(counts) / 2
    made[_CLASS_COUNT : 2 * _CLASS_COUNT] = counts * (2 / total)
    sentences = text.count(". ") + text.count("? ") + text.count("! ") + text.count(".\n")
    made[2 * _CLASS_COUNT :] = [
        *_flags(text, joined),
        log1p(length) / 6,
        1.0 if length < 25 else 0.0,
        1.0 if length < 60 else 0.0,
        1.0 if length > 150 else 0.0,
        1.0 if length > 400 else 0.0,
        1.0 if length > 1000 else 0.0,
        log1p(sentences) / 2,
        log1p(text.count("\n")) / 3,
        numbers / total * 2,
        log1p(numbers) / 2,
        1.0 if not numbers else 0.0,
        marks / total,
        capitals / max(1, letters),
        1.0 if capitals > 1 else 0.0,
        letters / total,
        1.0 if text.rstrip().endswith("?") else 0.0,
        1.0 if words and words[0].bone in _ASKING else 0.0,
        1.0 if letters == 0 else 0.0,
        1.0,  # for the intercept
    ]
    return made


def _flags(text: str, joined: bool) -> list[float]:
    made = [0.0] * len(_FLAGS)
    digit = _DIGIT.search(text) is not None
    for number, (needs, flag) in enumerate(_FLAGS):
        for need in needs:
            if need in text or (digit and need == "0"):
                break
        else:
            continue
        if flag.search(text):
            made[number] = 1.0
    if joined:
        made[_NAMES_LIKE_CODE] = 1.0
    return made


def _classes_of() -> dict[str, tuple[int, ...]]:
    of: dict[str, list[int]] = {}
    for number, words in enumerate(CLASSES.values()):
        for word in words:
            of.setdefault(word, []).append(number)
    return {word: tuple(numbers) for word, numbers in of.items()}


_CLASS_OF = _classes_of()
_CLASS_COUNT = len(CLASSES)
_NO_CLASSES = np.zeros(_CLASS_COUNT)
_SHAPE_INDICES = np.arange(SIZE - SHAPE_SIZE, SIZE)
_ASKING = frozenset(("how", "what", "who", "when", "where", "which", "why"))

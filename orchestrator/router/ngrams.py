"""A prompt as numbers for the linear classifier: hashed n-grams, and what its shape says.

Four groups, each scaled to length one, so that a long prompt weighs no more than a short one:

* words: every word and pair of neighbours, numbers as ``#``;
* skeleton: runs of two to four tokens in which only the language's own small words keep their
  name; content words, names, numbers, units and letters are a class each. "How many # w does C have"
  is the same for all apples and all Janets, which is what carries over to unseen data sets;
* characters: runs of three to five, which typos leave mostly alone;
* shape: about sixty plain measures (see ``shape``).

Hashing trick: Weinberger et al. 2009, without the sign. Cost is bounded: of a long prompt its first
and last characters are read, the question being at one of the two ends.
"""

from __future__ import annotations

import re
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
_YEAR = re.compile(r"1[4-9]\d\d|20[0-3]\d")

_FLAGS = tuple(
    re.compile(pattern)
    for pattern in (
        r"```",
        r"(?m)^\s*(?:def|class|import|from|public|private|function|fn|func|const|let|var|#include)\b",
        r"(?m)[;{}]\s*$",
        r"(?m)^(?:    |\t)\S",
        r"\w\(\w*[),]",
        r"[a-z]_[a-z]|[a-z][A-Z][a-z]",
        r"==|!=|<=|>=|=>|->|\+\+|&&|\|\||::",
        r">>>|\"\"\"|'''",
        r"\$[^$\n]{1,80}\$|\\[a-z]{2,}|\\\[",
        r"(?:^|\s)\(?[A-E][).:]\s?\S",
        r"(?:^|\s)\(?[a-e1-5]\)\s",
        r"\d\s*[-+*/x×÷^%]\s*\(?-?\d",
        r"(?<![\w$])[a-z](?:\^|\*\*|\s*[-+=]\s*\d)|\d[a-z]\b|[∫∑√≤≥∈π]",
        r"[$€£]\s?\d|\d+ (?:dollars|cents|euros)",
        r"\d\s?%|\bpercent",
        r"[→∧∨¬⊢∀∃]",
        r"[.!?]\s+[A-Z]",
        r"(?m)^\s*[-*•]\s|\n\s*\n",
        r"_{3,}|\.{3}\s*$",
        r"(?i)\b(?:input|output|example|examples|constraints|options|premises?|context)\s*\d?:",
    )
)
SHAPE_SIZE = 2 * len(CLASSES) + len(_FLAGS) + 19
SIZE = WORD_BUCKETS + SKELETON_BUCKETS + CHARACTER_BUCKETS + SHAPE_SIZE

_GROUP_SCALE = (1.0, 1.0, 0.6)  # words, skeleton, characters; chosen on held-out sources
_SHAPE_SCALE = 0.5


def vector(text: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices (below ``SIZE``) and values of what is not zero. Never raises for any text."""
    read = text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"
    tokens = _TOKEN.findall(read)
    low = [token.lower() for token in tokens]
    words, bones = _words(tokens, low)
    hashed = (
        _runs(words, (1, 2), WORD_BUCKETS),
        _runs(bones, (2, 3, 4), SKELETON_BUCKETS),
        _characters(read),
    )
    parts: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float32]] = []
    start = 0
    for found, scale, size in zip(
        hashed, _GROUP_SCALE, (WORD_BUCKETS, SKELETON_BUCKETS, CHARACTER_BUCKETS), strict=True
    ):
        parts.append(found + start)
        values.append(np.full(len(found), scale / max(1, len(found)) ** 0.5, np.float32))
        start += size
    measures = shape(read, tokens, low, len(text))
    parts.append(np.arange(start, start + SHAPE_SIZE))
    values.append(measures * np.float32(_SHAPE_SCALE))
    return np.concatenate(parts), np.concatenate(values)


def _words(tokens: list[str], low: list[str]) -> tuple[list[str], list[str]]:
    """Words with numbers as ``#``, and the skeleton, in which runs of a class count once."""
    words: list[str] = []
    bones: list[str] = ["^"]
    for token, small in zip(tokens, low, strict=True):
        first = token[0]
        if first.isdigit():
            word = "#Y" if _YEAR.fullmatch(token) else "#"
            bone = word
        elif first == "\n":
            word, bone = "\n", "\n"
        else:
            word = small
            bone = SKELETON.get(small, "")
            if not bone:
                if not first.isalpha():
                    bone = token
                elif len(token) == 1:
                    bone = "v"
                elif first.isupper() and bones[-1] not in ("^", ".", "\n", "?"):
                    bone = "C"
                else:
                    bone = "w"
            if small not in KEPT and bone == "#":
                word = "#w"
        words.append(word)
        if bone != bones[-1] or bone not in ("w", "C", "\n"):
            bones.append(bone)
    bones.append("$")
    return words, bones


def _runs(tokens: list[str], lengths: tuple[int, ...], buckets: int) -> NDArray[np.int64]:
    """Buckets of all runs of these lengths, each once."""
    single = np.fromiter(
        (crc32(token.encode("utf-8", "replace")) for token in tokens), np.uint64, len(tokens)
    )
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


def _characters(text: str) -> NDArray[np.int64]:
    if len(text) > CHARACTER_HEAD + CHARACTER_TAIL:
        text = f"{text[:CHARACTER_HEAD]} {text[-CHARACTER_TAIL:]}"
    plain = _DIGIT.sub("0", _BLANK.sub(" ", f" {text.lower()} "))
    data = np.frombuffer(plain.encode("utf-8", "replace"), np.uint8).astype(np.uint64)
    found = []
    for length in (3, 4, 5):
        count = len(data) - length + 1
        if count <= 0:
            continue
        run = data[:count] + np.uint64(length << 8)
        for place in range(1, length):
            run = run * np.uint64(0x100000001B3) + data[place : place + count]
        found.append(run * np.uint64(0x9E3779B97F4A7C15))
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


def shape(text: str, tokens: list[str], low: list[str], length: int) -> NDArray[np.float32]:
    """Counts and shares of word classes, marks of code, formulas and options, lengths. Each is
    about 0 to 1.5. ``length``: the whole prompt's characters."""
    counts = [0] * len(CLASSES)
    letters = capitals = numbers = marks = 0
    for token, small in zip(tokens, low, strict=True):
        for number in _CLASS_OF.get(small, ()):
            counts[number] += 1
        first = token[0]
        if first.isdigit():
            numbers += 1
        elif first.isalpha():
            letters += 1
            capitals += first.isupper()
        else:
            marks += 1
    total = max(1, len(tokens))
    made = [log1p(count) / 2 for count in counts]
    made += [count / total * 2 for count in counts]
    made += [1.0 if flag.search(text) else 0.0 for flag in _FLAGS]
    stripped = text.rstrip()
    sentences = text.count(". ") + text.count("? ") + text.count("! ") + text.count(".\n")
    lines = text.count("\n")
    made += [
        log1p(length) / 6,
        1.0 if length < 25 else 0.0,
        1.0 if length < 60 else 0.0,
        1.0 if length > 150 else 0.0,
        1.0 if length > 400 else 0.0,
        1.0 if length > 1000 else 0.0,
        log1p(sentences) / 2,
        log1p(lines) / 3,
        numbers / total * 2,
        log1p(numbers) / 2,
        1.0 if not numbers else 0.0,
        marks / total,
        capitals / max(1, letters),
        1.0 if capitals > 1 else 0.0,
        letters / total,
        1.0 if stripped.endswith("?") else 0.0,
        1.0 if low and low[0] in ("how", "what", "who", "when", "where", "which", "why") else 0.0,
        1.0 if letters == 0 else 0.0,
        1.0,  # for the intercept
    ]
    return np.array(made, np.float32)


def _classes_of() -> dict[str, tuple[int, ...]]:
    of: dict[str, list[int]] = {}
    for number, words in enumerate(CLASSES.values()):
        for word in words:
            of.setdefault(word, []).append(number)
    return {word: tuple(numbers) for word, numbers in of.items()}


_CLASS_OF = _classes_of()

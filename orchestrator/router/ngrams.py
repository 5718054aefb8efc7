"""A prompt as numbers for the linear classifier: hashed n-grams, and what its shape says.

Four groups, each scaled to length one, so that a long prompt weighs no more than a short one:

* words: every word and pair of neighbours, numbers as ``#``;
* skeleton: runs of two to four tokens in which only the language's own small words keep their
  name; content words, names, numbers, units and letters are a class each. "How many w does C
  have" is the same for all apples and all Janets, which is what carries over to unseen sets;
* characters: runs of three to five, which typos leave mostly alone;
* shape: about sixty plain measures (``shape``).

Hashing trick: Weinberger et al. 2009, without the sign. Cost is bounded: of a long prompt its first
and last characters are read, the question being at one of the two ends.
"""

from __future__ import annotations

import re
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from orchestrator.router.lexicon import CLASSES, KEPT, SKELETON
from orchestrator.router.shape import CLASS_COUNT, SHAPE_SIZE, TokenShape, shape

WORD_BUCKETS = 1 << 16
SKELETON_BUCKETS = 1 << 15
CHARACTER_BUCKETS = 1 << 15
HEAD, TAIL = 260, 200  # characters that are read; more cost time and decided no better

_TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+(?:[.,]\d+)*|\n+|[^\w\s]|\w")
_DIGIT = re.compile(r"\d")
_JOINED = re.compile(r"[a-z][A-Z][a-z]")
_YEAR = re.compile(r"1[4-9]\d\d|20[0-3]\d")

SIZE = WORD_BUCKETS + SKELETON_BUCKETS + CHARACTER_BUCKETS + SHAPE_SIZE

_GROUP_SCALE = (1.0, 1.0, 0.6)  # words, skeleton, characters; chosen on held-out sources
_SHAPE_SCALE = 0.5

_NUMBER, _SMALL, _CAPITAL, _MARK, _JOINED_FIELD, _FIRST_CLASS = range(6)

# What is known of a token, as a record of 64-bit numbers, so that those of a whole prompt are
# joined and then counted by a few NumPy calls: its hash and its bone's, and its tally, a field for
# each thing that is counted. The first lane's highest bits say how it stands in the skeleton.
_FIELD_BITS = 11  # tokens are fewer than 2048, as so many characters are not even read
_LANE_FIELDS = 5
_LANES = -(-(_FIRST_CLASS + CLASS_COUNT) // _LANE_FIELDS)
_MAY_BE_NAME, _BEGINS, _COLLAPSES = 1, 2, 4
_STANDING = 60  # bits from here on

# What was worked out before, which saves most of the time. Emptied when full, so that what people
# write now is soon known again.
_KNOWN_LIMIT = 1 << 15
_KNOWN_CHARACTERS = 24
_KNOWN: dict[str, bytes] = {}  # tokens
_PARTS: dict[str, bytes] = {}  # what stands between two blanks


def vector(text: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices (below ``SIZE``) and values of what is not zero. Never raises for any text."""
    read = text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"
    records = [_PARTS.get(part) or _part(part) for part in _parted(read)]
    table = np.frombuffer(b"".join((_FRONT, *records, _BACK)), "<u8").reshape(-1, 1 + _LANES)
    found, sizes = _buckets(table[1:-1, 0] & _LOW, _skeleton(table), _plain(read))
    indices = np.empty(len(found) + SHAPE_SIZE, np.int64)
    values = np.empty(len(found) + SHAPE_SIZE, np.float32)
    indices[: len(found)] = found
    indices[len(found) :] = _SHAPE_INDICES
    start = 0
    for size, scale in zip(sizes, _GROUP_SCALE, strict=True):
        values[start : start + size] = scale / max(1, size) ** 0.5
        start += size
    np.multiply(shape(read, _tokens(table), len(text)), _SHAPE_FACTOR, out=values[start:])
    return indices, values


def _parted(text: str) -> list[str]:
    """``text`` between blanks, each run of line breaks a part of its own: no token spans two."""
    if "\n" not in text:
        return text.split()
    first, *lines = text.split("\n")
    parts = first.split()
    parts.append("\n")
    for number, line in enumerate(lines, start=1):
        if line:
            parts += line.split()
            if number < len(lines):
                parts.append("\n")
    return parts


def _part(text: str) -> bytes:
    tokens = _TOKEN.findall(text)
    return _kept(_PARTS, text, b"".join([_KNOWN.get(token) or _word(token) for token in tokens]))


def _kept(known: dict[str, bytes], text: str, made: bytes) -> bytes:
    if len(text) <= _KNOWN_CHARACTERS:
        if len(known) >= _KNOWN_LIMIT:
            known.clear()
        known[text] = made
    return made


def _word(token: str) -> bytes:
    small = token.lower()
    first = token[0]
    bone, text = SKELETON.get(small, ""), small
    if first.isdigit():
        kind = _NUMBER
        bone = text = "#Y" if _YEAR.fullmatch(token) else "#"
    elif first.isalpha():
        kind = _CAPITAL if first.isupper() else _SMALL
        bone = bone or ("v" if len(token) == 1 else "w")
        if bone == "#" and small not in KEPT:
            text = "#w"
    else:
        kind = _MARK
        bone = text = "\n" if first == "\n" else token
    joined = small != token and _JOINED.search(token) is not None
    record = _hash(text) + _rest(bone, kind, _CLASS_OF.get(small, ()), joined)
    return _kept(_KNOWN, token, record)


@lru_cache(maxsize=1024)  # nearly all that are new differ in nothing but their own hash
def _rest(bone: str, kind: int, classes: tuple[int, ...], joined: bool) -> bytes:
    lanes = [0] * _LANES
    fields = [kind, *(_FIRST_CLASS + number for number in classes)]
    for field in fields + [_JOINED_FIELD] * joined:
        lanes[field // _LANE_FIELDS] += 1 << (_FIELD_BITS * (field % _LANE_FIELDS))
    standing = _COLLAPSES if bone in ("w", "\n") else 0
    standing |= _MAY_BE_NAME if bone == "w" and kind == _CAPITAL else 0
    standing |= _BEGINS if bone in ("^", ".", "\n", "?") else 0
    lanes[0] |= standing << _STANDING
    return _hash(bone) + b"".join([n.to_bytes(8, "little") for n in lanes])


def _hash(text: str) -> bytes:
    return crc32(text.encode("utf-8", "replace")).to_bytes(4, "little")


_LOW, _HALF, _STANDING_SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(_STANDING)
_SHIFTS = np.arange(_LANE_FIELDS, dtype=np.uint64) * np.uint64(_FIELD_BITS)
_FIELD = np.uint64((1 << _FIELD_BITS) - 1)


def _tokens(table: NDArray[np.uint64]) -> TokenShape:
    totals = np.add.reduce(table[:, 1:], axis=0)
    counts = ((totals[:, None] >> _SHIFTS) & _FIELD).astype(np.intp).ravel()
    numbers, small, capitals, marks, joined = counts[:_FIRST_CLASS].tolist()
    asking = table[1, 0] >> _HALF in _ASKING
    classes = counts[_FIRST_CLASS : _FIRST_CLASS + CLASS_COUNT]
    return TokenShape(numbers, small, capitals, marks, joined > 0, asking, classes)


def _border(bone: str, standing: int) -> bytes:
    """A record that no token has, for either end of the table: it counts as nothing."""
    lane = (standing << _STANDING).to_bytes(8, "little")
    return bytes(4) + _hash(bone) + lane + bytes(8 * (_LANES - 1))


_FRONT, _BACK = _border("^", _BEGINS), _border("$", 0)
_NAME = np.frombuffer(_hash("C"), "<u4").astype(np.uint64)


def _skeleton(table: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Runs of content words, names and line breaks count once. A capital makes a name of a content
    word, unless a sentence begins there."""
    bones = table[:, 0] >> _HALF
    standing = (table[:, 1] >> _STANDING_SHIFT).astype(np.uint8)
    # One bit is above the other, so that it is greater only where that one is not set.
    named = (standing[1:] & _MAY_BE_NAME) > (standing[:-1] & _BEGINS)
    bones[1:][named] = _NAME
    keep = standing < _COLLAPSES
    keep[1:] |= bones[1:] != bones[:-1]
    return bones[keep]


# Of ASCII in one go: small letters, digits as 0, and every character that is blank to `str` so to
# `bytes`, too.
_FOLD = bytes(
    ord("0") if 48 <= code < 58 else 32 if 28 <= code < 32 else ord(chr(code).lower())
    for code in range(128)
) + bytes(range(128, 256))


def _plain(text: str) -> bytes:
    """What runs of characters are read from: small letters, a zero for each digit, one blank for
    each run of blanks, and one at either end."""
    if text.isascii():
        return (
            b" %b " % b" ".join(text.encode("ascii").translate(_FOLD).split())
            if text and not text.isspace()
            else b" "
        )
    plain = _DIGIT.sub("0", " ".join(text.lower().split()))
    return (f" {plain} " if plain else " ").encode("utf-8", "replace")


# Rows of runs of words: how a run of one to four begins. Multiplications are modulo 2**64.
_MOST = 4
_BEGIN = np.array([[0x9E3779B97F4A7C15 + 2 * length] for length in range(1, _MOST + 1)], np.uint64)
_NEXT = np.uint64(0xC2B2AE3D27D4EB4F)
_SPREAD, _STEP = 0x9E3779B97F4A7C15, 0x100000001B3


def _byte_terms() -> NDArray[np.uint64]:
    """Row k: what a byte adds to the run that it begins, k bytes before the run's last one. A run
    is sum(byte * step**k), the mark of its length with its first byte, all times ``_SPREAD``. Since
    a run is the shorter one behind its first byte plus that byte's term, a term also takes the
    shorter one's mark out again."""
    marks = [0, 0] + [(length << 8) * _STEP ** (length - 1) for length in (3, 4, 5)]
    rows = [
        [
            (byte * _STEP**place + marks[place] - (marks[place - 1] if place else 0)) * _SPREAD
            for byte in range(256)
        ]
        for place in range(len(marks))
    ]
    return np.array([[term % (1 << 64) for term in row] for row in rows], np.uint64)


_BYTE_TERMS = _byte_terms()
_HIGH = np.uint64(40)  # the high bits are kept: a multiplication mixes upwards only
_SKELETON_START = WORD_BUCKETS
_CHARACTER_START = WORD_BUCKETS + SKELETON_BUCKETS
_BORDERS = np.array([_SKELETON_START, _CHARACTER_START], np.uint32)


def _buckets(
    hashes: NDArray[np.uint64], bones: NDArray[np.uint64], plain: bytes
) -> tuple[NDArray[np.uint32], tuple[int, int, int]]:
    """Of words, skeleton and characters, one group behind the other: the buckets of all their runs,
    each once; and how many each group has. All in few NumPy calls: on a prompt's few hundred
    numbers, a call costs more than what it does."""
    single = np.concatenate((hashes, bones))
    words, every = len(hashes), len(single)
    runs = single * _BEGIN
    for place in range(1, _MOST):
        part = runs[place:, : max(0, every - place)]
        np.bitwise_xor(part, single[place:], out=part)
        np.multiply(part, _NEXT, out=part)
    # Runs that would span words and bones are left out.
    found = [runs[0, :words], runs[1, : max(0, words - 1)]]
    found += [runs[place, words : max(words, every - place)] for place in range(1, _MOST)]
    ends = (2 * words - (words > 0), sum(map(len, found)))
    terms = _BYTE_TERMS.take(np.frombuffer(plain, np.uint8), axis=1)
    run = terms[0]
    for place in range(1, len(terms)):
        run = run[1:] + terms[place, :-place]
        if place > 1:  # runs of two are only on the way
            found.append(run)
    keys = np.concatenate(found)
    keys >>= _HIGH
    near = keys.astype(np.uint32)
    near[: ends[0]] &= WORD_BUCKETS - 1
    near[ends[0] : ends[1]] &= SKELETON_BUCKETS - 1
    near[ends[0] : ends[1]] += _SKELETON_START
    near[ends[1] :] &= CHARACTER_BUCKETS - 1
    near[ends[1] :] += _CHARACTER_START
    near.sort()
    keep = np.empty(len(near), np.bool_)
    keep[0] = True  # a skeleton has at least its two ends
    np.not_equal(near[1:], near[:-1], out=keep[1:])
    once = near[keep]
    first, second = once.searchsorted(_BORDERS).tolist()
    return once, (first, second - first, len(once) - second)


def _classes_of() -> dict[str, tuple[int, ...]]:
    of: dict[str, list[int]] = {}
    for number, words in enumerate(CLASSES.values()):
        for word in words:
            of.setdefault(word, []).append(number)
    return {word: tuple(numbers) for word, numbers in of.items()}


_CLASS_OF = _classes_of()
_SHAPE_INDICES = np.arange(SIZE - SHAPE_SIZE, SIZE)
_SHAPE_FACTOR = np.float32(_SHAPE_SCALE)
_ASKING = frozenset(
    int.from_bytes(_hash(word), "little")
    for word in ("how", "what", "who", "when", "where", "which", "why")
)

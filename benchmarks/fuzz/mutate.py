"""Bad inputs out of good ones: edits to the bytes, and edits to the structure that they spell.

Input ``n`` of a target is a function of (seed, target, n) alone, so that a finding can be had
again without those before it. JSON, msgpack and protobuf are told apart by trying; what is none of
them is taken for lines of text. Depth is built by text, never by recursion.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

MAX_BYTES = 1 << 20  # of one input; borders that allow more are tried at their own limit elsewhere
DEPTHS = (2, 40, 500, 6_000, 100_000)
_Edit = Callable[[random.Random, bytes], bytes]

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**32, 2**63, 2**64, -(2**63), 2**200, 10**400,
    0.0, -0.0, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"),
    "", " ", "0", "x" * 10_000, "\x00", "\x1b[2J", "\u202e", "\ud800", "\n", "é" * 300, "٣", "null",
    [], {}, [[]], [None] * 1_000, {"": ""}, {"x": {"x": {}}},
)  # fmt: skip
TOKENS: tuple[bytes, ...] = (
    b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc3", b"\r\n", b"\n\n",
    b"\t", b"\x1b[31m", b"\xe2\x80\xae", b"null", b"NaN", b"Infinity", b"-Infinity", b"1e999",
    b"9" * 400, b"0x", b"\\u0000", b"\\ud800", b"[", b"]", b"{", b"}", b'"', b"'", b"'''", b"=",
    b":", b",", b"#", b"data: ", b"event: ", b"id: ", b"[DONE]", b"(?i)", b"(a+)+$", b".*" * 20,
    b"{1,1000}", b"\\W", b"|", b"[^", b"(" * 50, b"../", b"%s%n", b"\x7f", b"\x80\x00\x00\x00",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
)  # fmt: skip


def mutated(seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """One input out of ``seeds``: one to four edits, half of them to the structure if there is
    one. Never over ``MAX_BYTES``."""
    data = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        edit = _structured if rng.random() < 0.5 else rng.choice(_BYTES)
        data = edit(rng, data)
        data = data[:MAX_BYTES]
    return data


def _structured(rng: random.Random, data: bytes) -> bytes:
    start = data[:1]
    if start in (b"{", b"["):
        try:
            tree = json.loads(data)
        except (ValueError, RecursionError):
            return _lines(rng, data)
        if rng.random() < 0.1:  # depth, put in as text where some value stood
            spot = json.dumps(_put(rng, tree, "\uffff"), ensure_ascii=True).encode()
            return spot.replace(b'"\\uffff"', _deep(rng))
        return json.dumps(_put(rng, tree, rng.choice(HOSTILE))).encode()
    if start and start[0] >= 0x80:
        try:
            tree = msgspec.msgpack.decode(data)
        except (ValueError, RecursionError):
            return _lines(rng, data)
        if rng.random() < 0.1:
            return data + b"\x91" * rng.choice(DEPTHS)
        try:
            return msgspec.msgpack.encode(_put(rng, tree, rng.choice(HOSTILE)))
        except (ValueError, TypeError, OverflowError):  # a value that msgpack has no bytes for
            return data
    fields = _fields(data)
    if fields:
        return _wire(rng, fields)
    return _lines(rng, data)


def _deep(rng: random.Random) -> bytes:
    depth = rng.choice(DEPTHS)
    opened, closed = rng.choice(((b"[", b"]"), (b'{"x":', b"}")))
    return opened * depth + (b"1" + closed * depth if rng.random() < 0.7 else b"")


def _put(rng: random.Random, tree: Any, value: Any) -> Any:
    """``tree`` with one place of it edited: replaced, taken away, doubled, renamed, swapped."""
    where: list[tuple[Any, Any]] = []
    open_nodes = [tree]
    while open_nodes and len(where) < 400:
        node = open_nodes.pop()
        keys: Sequence[Any] = ()
        if isinstance(node, dict):
            keys = list(node)
        elif isinstance(node, list):
            keys = range(len(node))
        where.extend((node, key) for key in keys)
        open_nodes.extend(node[key] for key in keys)
    if not where:
        return value
    node, key = rng.choice(where)
    match rng.randrange(6):
        case 0:
            del node[key]
        case 1 if isinstance(node, list):
            node.extend(node[:8] * rng.choice((1, 10, 500)))
        case 1:
            node[f"{key}{rng.choice(('', ' ', 'x', chr(0)))}"] = node[key]
        case 2:
            other, place = rng.choice(where)
            if _leaf(node[key]) and _leaf(other[place]) and place in _keys(other):
                node[key], other[place] = other[place], node[key]
        case 3 if isinstance(node[key], int) and not isinstance(node[key], bool):
            node[key] = node[key] * rng.choice((-1, 10, 2**32, 10**300)) + rng.choice((-1, 0, 1))
        case _:
            node[key] = value
    return tree


def _leaf(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _keys(node: Any) -> Sequence[Any]:
    return list(node) if isinstance(node, dict) else range(len(node))


def _fields(data: bytes) -> list[tuple[int, int, bytes]]:
    """``data`` as protobuf fields (number, wire type, the bytes of the value), or none."""
    found: list[tuple[int, int, bytes]] = []
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind, start = tag >> 3, tag & 7, at
        match kind:
            case 0:
                _, at = _varint(data, at)
            case 1:
                at += 8
            case 2:
                length, start = _varint(data, at)
                at = start + length
            case 5:
                at += 4
            case _:
                return []
        if not 0 < number < 1 << 29 or at > len(data) or at <= start - 1:
            return []
        found.append((number, kind, data[start:at]))
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return 0, len(data) + 1


def _spelt(value: int) -> bytes:
    spelt = bytearray()
    while value > 0x7F:
        spelt.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*spelt, value))


def _wire(rng: random.Random, fields: list[tuple[int, int, bytes]]) -> bytes:
    at = rng.randrange(len(fields))
    number, kind, value = fields[at]
    match rng.randrange(7):
        case 0:
            del fields[at]
        case 1:
            fields.extend([fields[at]] * rng.choice((1, 10, 2_000)))
        case 2:
            fields[at] = (rng.choice((number + 1, 1, 15, 16, 2**28)), kind, value)
        case 3:
            fields[at] = (number, 0, _spelt(rng.choice((0, 1, 2**31, 2**63, 2**64 - 1))))
        case 4 if kind == 2 and (inner := _fields(value)):
            fields[at] = (number, kind, _wire(rng, inner))
        case 5 if kind == 2:
            fields[at] = (number, kind, rng.choice(TOKENS) * rng.choice((1, 100)))
        case _:
            fields.insert(rng.randrange(len(fields) + 1), fields[at])
    parts = []
    for number, kind, value in fields:
        parts.append(_spelt(number << 3 | kind))
        parts.append(_spelt(len(value)) + value if kind == 2 else value)
    return b"".join(parts)


def _lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines[at:at] = [lines[at]] * rng.choice((1, 2, 300))
        case 2:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        case _:
            cut = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:cut] + rng.choice(TOKENS) + lines[at][cut:]
    return b"\n".join(lines)


def _flip(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return rng.choice(TOKENS)
    edited = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        edited[rng.randrange(len(edited))] ^= 1 << rng.randrange(8)
    return bytes(edited)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _spliced(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(TOKENS) * rng.choice((1, 1, 1, 30)) + data[at:]


def _replaced(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    size = rng.choice((1, 2, 4, 8))
    return data[:at] + rng.choice(_NUMBERS)[:size] + data[at + size :]


def _repeated(rng: random.Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    stop = min(len(data), start + rng.choice((1, 4, 64)))
    return data[:stop] + data[start:stop] * rng.choice((1, 3, 200)) + data[stop:]


def _random(rng: random.Random, data: bytes) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 7, 64, len(data))))


_NUMBERS = (b"\xff" * 8, b"\x00" * 8, b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x00\x00\x00\x80" * 2)
_BYTES: tuple[_Edit, ...] = (_flip, _flip, _cut, _spliced, _spliced, _replaced, _repeated, _random)

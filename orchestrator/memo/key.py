"""The name under which an answer is remembered.

SHA-256 (FIPS 180-4) over an encoding in which every field is preceded by its length, so that no two
requests have the same encoding unless they mean the same.

Messages that mean the same to a model shall find the same answer, and nothing else shall: texts
are brought to Unicode NFC (UAX #15), line ends to ``\\n``, and white space at a message's end is
left out. Case and inner white space count, since code depends on them. All sampling parameters
count as they were said, floats to the last bit: what was not said follows from the decision, which
all the rest makes, and from the settings, which are in the salt. So do roles, images, calls and
their results as they are, tenant, the conversation's prior (it can decide the route), and a salt.

Cost is bounded for any text. NFC sorts runs of combining marks in quadratic time, so it is done in
short pieces, cut before spaces, and only for the newest ``NFC_CHARACTERS`` of text beyond ASCII;
what is older is taken as it is. Both can only miss an answer that is there, never find a wrong one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from unicodedata import normalize

from mesh.types import Image, Message, Role, Text, ToolCall, ToolResult
from orchestrator.router.base import Features

MAX_CHARACTERS = 256 * 1024  # of all messages: about 1 ms of encoding and hashing at worst
NFC_CHARACTERS = 8 * 1024
_PIECE_CHARACTERS = 64

_VERSION = b"squadron memo 3"
_ROLES = {Role.SYSTEM: b"s", Role.USER: b"u", Role.ASSISTANT: b"a", Role.TOOL: b"t"}


def memo_key(features: Features, salt: str) -> bytes | None:
    """32 bytes; None for a conversation of more than ``MAX_CHARACTERS``. ``salt``: answers kept
    under another one are not found (the version of the rules)."""
    messages = features.messages
    if sum([len(m.text) if m.plain else _weight(m) for m in messages]) > MAX_CHARACTERS:
        return None
    s = features.sampling
    # repr of a float is the shortest text that reads back as the same float.
    sampling = repr(
        (
            s.max_tokens,
            _float(s.temperature),
            _float(s.top_p),
            s.top_k,
            _float(s.min_p),
            _float(s.repetition_penalty),
            s.seed,
            s.stop,
            s.grammar,
            s.json_schema,
        )
    )
    fields = [
        _VERSION,
        _bytes(salt),
        _bytes(features.tenant),
        _bytes(features.model or ""),
        _bytes(features.specialty or ""),
        _bytes(features.prior or ""),
        _bytes(sampling),
    ]
    for message, text in zip(messages, _normal(messages), strict=True):
        fields += (_ROLES[message.role], text)
        if not message.plain:
            fields += _beyond_text(message)
    return hashlib.sha256(
        b"".join([part for field in fields for part in (len(field).to_bytes(8, "little"), field)])
    ).digest()


def _float(said: float | None) -> float | None:
    """-0.0 of a careless client is 0.0, and an int a float."""
    return None if said is None else said + 0.0


def _weight(message: Message) -> int:
    """Characters of its text, and bytes of what else it holds."""
    return len(message.text) + sum(map(len, _beyond_text(message)))


def _beyond_text(message: Message) -> list[bytes]:
    """Begins with what is no role, and tells how many fields there are and where texts stand
    between them, so that no other messages have the same fields."""
    fields: list[bytes] = []
    for part in message.parts:
        match part:
            case Text(text=text):
                fields += (b"text", _bytes(text))
            case Image(media_type=media_type, data=data, url=url):
                fields += (b"image", _bytes(media_type), data, _bytes(url))
            case ToolCall(id=call_id, name=name, arguments=arguments):
                fields += (b"call", _bytes(call_id), _bytes(name), _bytes(arguments))
            case ToolResult(call_id=call_id, text=text):
                fields += (b"result", _bytes(call_id), _bytes(text))
    return [b"parts", len(fields).to_bytes(8, "little"), *fields]


def _normal(messages: Sequence[Message]) -> list[bytes]:
    left = NFC_CHARACTERS
    texts: list[bytes] = []
    for message in reversed(messages):  # the newest is what people type anew
        text = message.text
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = text.rstrip()
        if not text.isascii() and len(text) <= left:
            left -= len(text)
            text = _nfc(text)
        texts.append(_bytes(text))
    texts.reverse()
    return texts


def _nfc(text: str) -> str:
    """A cut before a space changes nothing, as a space composes with nothing."""
    if len(text) <= _PIECE_CHARACTERS:
        return normalize("NFC", text)
    pieces: list[str] = []
    start, end = 0, len(text)
    while end - start > _PIECE_CHARACTERS:
        cut = text.rfind(" ", start + 1, start + _PIECE_CHARACTERS)
        if cut < 0:
            cut = start + _PIECE_CHARACTERS
        pieces.append(normalize("NFC", text[start:cut]))
        start = cut
    pieces.append(normalize("NFC", text[start:]))
    return "".join(pieces)


def _bytes(text: str) -> bytes:
    # Lone surrogates have no UTF-8; requests with them are refused before, and here they only must
    # not raise, nor collide.
    return text.encode("utf-8", "surrogatepass")

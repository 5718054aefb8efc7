"""By what a request is known again: hashes over what an engine is given. Pure.

Who asks, how long the answer may be and how its tokens are drawn is not in them: an engine is lost
at reading the conversation or at keeping to the form, and a poison sent again with another seed or
another limit is the same poison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from mesh.types import Message, SaidSampling

MARK_BYTES = 16

_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Marks:
    """``whole``: of the conversation (or the texts) and the form; ``form``: of the grammar or JSON
    schema alone, "" for none. Hex."""

    whole: str
    form: str


def marks_of(
    messages: Sequence[Message], sampling: SaidSampling | None = None, texts: Sequence[str] = ()
) -> Marks:
    """Of an answer's request, or of ``texts`` to embed. A millisecond a megabyte."""
    form = None
    if sampling is not None and sampling.bound:
        form = (sampling.grammar, sampling.json_schema)
    return Marks(
        whole=_hash(_encode((messages, texts, form))),
        form=_hash(_encode(form)) if form is not None else "",
    )


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=MARK_BYTES).hexdigest()

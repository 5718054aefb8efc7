"""The border for everything that is read from the registry. Pure.

Anybody who can write there may leave anything, and every process of the mesh reads it, at every
start. So what is at a key is read here and nowhere else: its size, its depth, its types, and the
ranges that the types state; its texts leave as what may be shown. Whatever fails, and however it
does, becomes one error with a reason, and costs that one key.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec

from mesh.cleaned import cleaned, with_texts
from mesh.errors import ProtocolError

MAX_VALUE_BYTES = 1024 * 1024  # etcd takes requests of 1.5 MiB
MAX_DEPTH = 32  # a node's record has 4
MAX_KEY_CHARS = 200
MAX_TEXT_CHARS = 16_384  # of any text in it

_Form = TypeVar("_Form")

# Ranges of what a record may say, wide enough for any box there is, and narrow enough that every
# sum, product and column over a fleet holds. NaN is in none.
Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**60)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Context = Annotated[int, msgspec.Meta(ge=0, le=2**31)]  # tokens
Slots = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Index = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Pid = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Celsius = Annotated[float, msgspec.Meta(ge=-273.15, le=1_000.0)]
Watts = Annotated[float, msgspec.Meta(ge=0.0, le=1_000_000.0)]
Load = Annotated[float, msgspec.Meta(ge=0.0, le=1_000_000.0)]
Speed = Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]  # tokens per second
Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]
Wait = Annotated[float, msgspec.Meta(ge=0.0)]  # seconds; infinity: there is no telling
Moment = Annotated[float, msgspec.Meta(ge=0.0, le=1e11)]  # Unix seconds
Price = Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]
Name = Annotated[str, msgspec.Meta(max_length=512)]
Words = Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)]
FEW, MANY = msgspec.Meta(max_length=256), msgspec.Meta(max_length=4096)  # in a list
ID = msgspec.Meta(max_length=128, pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z")

# Where JSON's strings are, also one that never ends; it never goes back, so it is linear.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(each for each in range(256) if each not in b"[]{}")


def read(data: bytes, form: type[_Form], what: str) -> _Form:
    """JSON as ``form``. ``what``: what it should be, such as ``a node record``. Unknown (newer)
    fields are left out, and texts are such as may go to a log or a terminal. Raises
    ``ProtocolError`` that names what is wrong, and nothing else."""
    if len(data) > MAX_VALUE_BYTES:
        raise ProtocolError(
            f"not {what}: {len(data):,} bytes, and at most {MAX_VALUE_BYTES:,} are read"
        )
    try:
        found: _Form = msgspec.json.decode(data, type=form)
        if b"\\" in data or b"\x7f" in data or not data.isascii():  # else all of it can be shown
            shown = msgspec.json.encode(with_texts(found, _printable))
            found = msgspec.json.decode(shown, type=form)  # what is left of a name must be one
        deep = _deep(data)
    except RecursionError:
        deep = True
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends nobody
        raise ProtocolError(f"not {what}: {cleaned(str(error)) or type(error).__name__}") from None
    if deep:
        raise ProtocolError(f"not {what}: nested more than {MAX_DEPTH} deep")
    return found


def shown_key(key: str) -> str:
    """As a person may see it."""
    return cleaned(key, MAX_KEY_CHARS)


def check_address(endpoint: str) -> None:
    """Raises ``ProtocolError`` for a port that is none. What else is wrong with an address, its
    dialer says."""
    if not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        raise ProtocolError(f"'{cleaned(endpoint, 40)}' is no address")
    _, _, port = endpoint.rpartition(":")
    if port.isdecimal() and not (len(port) <= 5 and int(port) <= 65_535):
        raise ProtocolError(f"port {cleaned(port, 40)} is none: 0 to 65535")


def _printable(text: str) -> str:
    return text if text.isprintable() else cleaned(text, MAX_TEXT_CHARS)


def _deep(data: bytes) -> bool:
    """Whether more than ``MAX_DEPTH`` brackets are open at once. Not left to the decoder, whose
    limit depends on how deep its caller stands: all processes are to come to one verdict."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", data).translate(_SQUARE, _NO_BRACKET)
    for _ in range(MAX_DEPTH):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    return bool(brackets)

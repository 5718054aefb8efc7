"""What a request must be before any work is done for it. Pure; used at every border it crosses.

The gateway checks what clients send, and a node checks again what orchestrators send it, since
input from a wire is checked before use wherever it comes in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from mesh.errors import InvalidRequest
from mesh.parts import check_parts, text_bytes
from mesh.types import (
    SPECIALTY_PATTERN,
    Continuation,
    Message,
    RequestId,
    Role,
    SaidSampling,
    Specialty,
    Text,
)

MAX_REQUEST_BYTES = 4 * 1024 * 1024
MAX_MESSAGES = 2048
MAX_TOKENS = 1_000_000
MAX_STOPS = 16
MAX_STOP_BYTES = 256
MAX_TEMPERATURE = 5.0
MAX_GRAMMAR_BYTES = 64 * 1024  # of a GBNF grammar or a JSON schema
MAX_TENANT_BYTES = 256
MAX_SYSTEM_BYTES = 16 * 1024  # of what a specialty's settings put before a conversation
MAX_TEXTS = 256  # of one request for embeddings
MAX_MODEL_ID_BYTES = 512
MAX_TOKENIZER_HASH_CHARS = 128
MAX_ATTEMPTS_SO_FAR = 10_000
_PIECE_BYTES = 8  # what a piece weighs beside its text
MAX_TIMEOUT_S = 24 * 3600  # at every door: whoever asks for longer holds a slot for longer
_SEED_LIMIT = 2**32
_TOP_K_LIMIT = 2**31
_REQUEST_ID = re.compile(r"[0-9a-f]{32}")


def check_request(
    messages: Sequence[Message],
    sampling: SaidSampling,
    *,
    max_bytes: int = MAX_REQUEST_BYTES,
    timeout_s: float | None = None,
) -> None:
    """Raises ``InvalidRequest`` with one line that names what is wrong and what would be right.

    ``max_bytes``: limit on the UTF-8 size of all messages together. ``timeout_s``: seconds, None
    for none.
    """
    check_messages(messages, max_bytes=max_bytes)
    check_sampling(sampling)
    check_timeout(timeout_s)


def check_messages(messages: Sequence[Message], *, max_bytes: int = MAX_REQUEST_BYTES) -> None:
    """Raises ``InvalidRequest``. The last message is a tool's, or the user's and not empty."""
    if not messages:
        raise InvalidRequest("the request has no messages; send at least one from the user")
    if len(messages) > MAX_MESSAGES:
        raise InvalidRequest(f"{len(messages)} messages are too many; the limit is {MAX_MESSAGES}")
    for number, message in enumerate(messages, 1):
        if not isinstance(message.role, Role):
            raise unknown_role(message.role, number)
    size = check_parts(messages)
    if size > max_bytes:
        raise InvalidRequest(f"the prompt is {size:,} bytes; the limit is {max_bytes:,} bytes")
    last = messages[-1]
    if last.role is Role.TOOL:
        return
    if last.role is not Role.USER:
        raise InvalidRequest(
            f"the last message must be from the user or a tool, not from '{last.role}'"
        )
    if not last.text.strip() and all(isinstance(part, Text) for part in last.parts):
        raise InvalidRequest("the prompt is empty; write something in the last user message")


def check_texts(texts: Sequence[str], *, max_bytes: int = MAX_REQUEST_BYTES) -> None:
    """What is to be embedded. Raises ``InvalidRequest`` that names the text by its number, from 1.
    ``max_bytes``: limit on the UTF-8 size of all texts together."""
    if not texts:
        raise InvalidRequest("there is no text to embed; give at least one")
    if len(texts) > MAX_TEXTS:
        raise InvalidRequest(
            f"{len(texts):,} texts are too many for one request; send at most {MAX_TEXTS} at a time"
        )
    size = 0
    for number, text in enumerate(texts, 1):
        size += text_bytes(text, f"text {number}")
        if not text.strip():
            raise InvalidRequest(f"text {number} is empty; leave it out or write something in it")
    if size > max_bytes:
        raise InvalidRequest(f"the texts are {size:,} bytes; the limit is {max_bytes:,} bytes")


def check_timeout(timeout_s: float | None) -> None:
    """Seconds; None for none. Raises ``InvalidRequest``."""
    if timeout_s is not None and not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise InvalidRequest(
            f"timeout_s must be more than 0 and at most {MAX_TIMEOUT_S:,} seconds, not {timeout_s}"
        )


def check_sampling(sampling: SaidSampling) -> None:
    """Of what was said. Raises ``InvalidRequest``. NaN and infinities are outside every range."""
    s = sampling
    if s.max_tokens is not None and not 1 <= s.max_tokens <= MAX_TOKENS:
        raise InvalidRequest(f"max_tokens must be 1 to {MAX_TOKENS}, not {s.max_tokens}")
    if s.temperature is not None and not 0.0 <= s.temperature <= MAX_TEMPERATURE:
        raise InvalidRequest(f"temperature must be 0 to {MAX_TEMPERATURE:g}, not {s.temperature}")
    if s.top_p is not None and not 0.0 < s.top_p <= 1.0:
        raise InvalidRequest(f"top_p must be more than 0 and at most 1, not {s.top_p}")
    if s.top_k is not None and not 0 <= s.top_k < _TOP_K_LIMIT:
        raise InvalidRequest(f"top_k must be 0 (off) or more, below 2^31, not {s.top_k}")
    if s.min_p is not None and not 0.0 <= s.min_p <= 1.0:
        raise InvalidRequest(f"min_p must be 0 to 1, not {s.min_p}")
    if s.repetition_penalty is not None and not 0.0 < s.repetition_penalty <= 2.0:
        raise InvalidRequest(
            f"repetition_penalty must be more than 0 and at most 2, not {s.repetition_penalty}"
        )
    if s.seed is not None and not 0 <= s.seed < _SEED_LIMIT:
        raise InvalidRequest(f"seed must be 0 to 2^32 - 1, not {s.seed}")
    if len(s.stop) > MAX_STOPS:
        raise InvalidRequest(f"{len(s.stop)} stop strings are too many; the limit is {MAX_STOPS}")
    for stop in s.stop:
        if not stop:
            raise InvalidRequest("a stop string is empty; leave it out or give it text")
        if text_bytes(stop, "a stop string") > MAX_STOP_BYTES:
            raise InvalidRequest(f"a stop string is longer than {MAX_STOP_BYTES} bytes")
    _check_form(s)


def _check_form(sampling: SaidSampling) -> None:
    """What can be said of grammar and schema here; whether an engine can follow them, it says."""
    for name, text in (("grammar", sampling.grammar), ("json_schema", sampling.json_schema)):
        if text is None:
            continue
        if not text.strip():
            raise InvalidRequest(f"{name} is empty; leave it out or give it text")
        size = text_bytes(text, name)
        if size > MAX_GRAMMAR_BYTES:
            raise InvalidRequest(f"{name} is {size:,} bytes; the limit is {MAX_GRAMMAR_BYTES:,}")
    if sampling.json_schema is None:
        return
    if sampling.grammar is not None:
        raise InvalidRequest("grammar and json_schema exclude each other; give one of them")
    try:
        schema = json.loads(sampling.json_schema)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"json_schema is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise InvalidRequest('json_schema must be a JSON object, such as {"type": "object"}')


def check_continuation(
    continuation: Continuation, sampling: SaidSampling, *, max_bytes: int = MAX_REQUEST_BYTES
) -> None:
    """Raises ``InvalidRequest``. ``max_bytes``: of all delivered pieces together."""
    count = len(continuation.pieces)
    if sampling.max_tokens is not None and count > sampling.max_tokens:
        raise InvalidRequest(
            f"{count} tokens were delivered already, and max_tokens is {sampling.max_tokens}"
        )
    if continuation.system is not None:
        check_system(continuation.system)
    size = sum(_PIECE_BYTES + len(piece.text.encode("utf-8")) for piece in continuation.pieces)
    if size > max_bytes:
        raise InvalidRequest(
            f"the delivered tokens are {size:,} bytes; the limit is {max_bytes:,} bytes"
        )
    tokenizer = continuation.tokenizer_hash
    for name, text in (("tokenizer_hash", tokenizer), ("weights", continuation.weights)):
        if len(text) > MAX_TOKENIZER_HASH_CHARS or not text.isprintable():
            raise InvalidRequest(f"the continuation's {name} is none that a node could have")
    if not 0 <= continuation.attempts <= MAX_ATTEMPTS_SO_FAR:
        raise InvalidRequest(
            f"attempts must be 0 to {MAX_ATTEMPTS_SO_FAR:,}, not {continuation.attempts}"
        )


def check_system(text: str) -> None:
    """A specialty's system text. Raises ``InvalidRequest``."""
    if (size := text_bytes(text, "the system text")) > MAX_SYSTEM_BYTES:
        raise InvalidRequest(
            f"the system text is {size:,} bytes; the limit is {MAX_SYSTEM_BYTES:,} bytes"
        )


def check_request_id(text: str) -> RequestId:
    """The id, when it is one. Raises ``InvalidRequest``."""
    if not _REQUEST_ID.fullmatch(text):
        raise InvalidRequest("request_id must be 32 lower-case hex digits; or leave it empty")
    return RequestId(text)


def check_specialty(text: str) -> Specialty:
    """The name, when it is one. Raises ``InvalidRequest``."""
    if not SPECIALTY_PATTERN.fullmatch(text):
        raise InvalidRequest(
            f"specialty {text[:40]!r} is not a name: lower-case letters, digits, '-' and '_', "
            "starting with a letter, at most 32"
        )
    return Specialty(text)


def check_model_id(text: str) -> None:
    """Raises ``InvalidRequest`` for what can be no model's id."""
    if text_bytes(text, "the model's name") > MAX_MODEL_ID_BYTES:
        raise InvalidRequest(f"the model's name is longer than {MAX_MODEL_ID_BYTES} bytes")


def check_tenant(text: str) -> str:
    """As it is, "" for none. Raises ``InvalidRequest`` for what can be no tenant's name."""
    if text_bytes(text, "the tenant's name") > MAX_TENANT_BYTES:
        raise InvalidRequest(f"the tenant's name is longer than {MAX_TENANT_BYTES} bytes")
    return text


def unknown_role(role: object, number: int) -> InvalidRequest:
    """The error for message ``number`` (from 1) with a role that is none."""
    roles = ", ".join(Role)
    return InvalidRequest(
        f"message {number} has the unknown role {str(role)[:40]!r}; one of {roles}"
    )

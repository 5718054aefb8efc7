"""The call for embeddings: checked here, asked of one orchestrator, or of the next when one goes.

Nothing is changed by it and equal texts have equal vectors, so that a call whose orchestrator was
lost is simply made again elsewhere.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict

from mesh.channel import MAX_MESSAGE_BYTES
from mesh.client import wire
from mesh.client.contacts import Contacts
from mesh.client.options import NUMBER, PRIORITY, TEXT, Kind, checked_options, shown
from mesh.embedding import Embeddings, EmbedRequest
from mesh.errors import DeadlineExceeded, InvalidRequest
from mesh.protobuf.embed import embed_request_to_wire, embeddings_from_wire
from mesh.types import ModelId, Priority, RequestId
from mesh.validation import (
    check_model_id,
    check_request_id,
    check_specialty,
    check_tenant,
    check_texts,
    check_timeout,
)


class EmbedOptions(TypedDict, total=False):
    """``specialty``: whom to ask, ``embedding`` when neither it nor ``model`` is given. Name the
    ``model`` where vectors of several calls are to be compared and the fleet has more than one:
    vectors of different models mean nothing to each other. ``timeout_s``: seconds, None for the
    client's, else the orchestrator's default. ``tenant``: whose request it is."""

    specialty: str | None
    model: str | None
    timeout_s: float | None
    priority: Priority | str
    tenant: str
    request_id: str | None


KINDS: dict[str, Kind] = {
    "specialty": TEXT,
    "model": TEXT,
    "timeout_s": NUMBER,
    "priority": PRIORITY,
    "tenant": TEXT,
    "request_id": TEXT,
}
OPTIONAL = ("specialty", "model", "timeout_s", "request_id")


def embed_request(
    texts: Sequence[str] | str, options: EmbedOptions, timeout_s: float | None
) -> EmbedRequest:
    """Raises ``InvalidRequest`` for what can be seen to be wrong here."""
    said = checked_options(options, KINDS, OPTIONAL)
    if not isinstance(texts, Sequence) or isinstance(texts, bytes | bytearray):
        raise InvalidRequest(f"the texts must be a list of str, not {type(texts).__name__}")
    asked = (
        (texts,) if isinstance(texts, str) else tuple(_text(*each) for each in enumerate(texts, 1))
    )
    # The size limit is the orchestrator's to say.
    check_texts(asked, max_bytes=MAX_MESSAGE_BYTES)
    chosen = said.get("timeout_s")
    timeout_s = chosen if chosen is not None else timeout_s
    check_timeout(timeout_s)
    specialty, model = said.get("specialty"), said.get("model")
    check_model_id(model or "")
    priority, request_id = said.get("priority", Priority.NORMAL), said.get("request_id")
    try:
        return EmbedRequest(
            id=check_request_id(request_id) if request_id else RequestId(uuid.uuid4().hex),
            texts=asked,
            specialty=check_specialty(specialty) if specialty else None,
            model=ModelId(model) if model else None,
            timeout_s=timeout_s,
            priority=Priority(priority),
            tenant=check_tenant(said.get("tenant", "")),
        )
    except ValueError:
        raise InvalidRequest(
            f"priority {shown(priority)!r} is unknown; one of {', '.join(Priority)}"
        ) from None


def _text(number: int, text: object) -> str:
    if not isinstance(text, str):
        raise InvalidRequest(f"text {number} must be a str, not {type(text).__name__}")
    return text


async def embed(request: EmbedRequest, contacts: Contacts) -> Embeddings:
    """Raises what the orchestrator does, and ``Unreachable`` when none is left to ask."""
    deadline = None if request.timeout_s is None else time.monotonic() + request.timeout_s
    for turn in contacts.in_turn(wire.connection_lost):
        with turn as contact:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise DeadlineExceeded(
                    f"the texts were not embedded within {request.timeout_s:g} s; allow more time",
                    request_id=request.id,
                )
            message = embed_request_to_wire(replace(request, timeout_s=left))
            answer = await contacts.ask(contact, "Embed", message, wire.call_timeout(left))
            return embeddings_from_wire(answer, texts=len(request.texts))
    raise contacts.nobody()

"""What a call says, as a request: checked here as far as it can be, so that what is wrong shows
where the call is made."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, TypedDict, cast, get_args, get_type_hints

from mesh.channel import MAX_MESSAGE_BYTES
from mesh.client.options import (
    FLAG,
    NUMBER,
    PRIORITY,
    SCHEMA,
    TEXT,
    TEXTS,
    WHOLE,
    Kind,
    check_known,
    checked_options,
    shown,
)
from mesh.client.prompt import Prompt, messages_of
from mesh.errors import InvalidRequest
from mesh.types import ModelId, Priority, Request, RequestId, SaidSampling
from mesh.validation import (
    check_model_id,
    check_request,
    check_request_id,
    check_specialty,
    check_tenant,
)


class RequestOptions(TypedDict, total=False):
    """What a request may say beside its prompt; ``SaidSampling`` explains the sampling parameters,
    of which None leaves it to the mesh. ``specialty`` or ``model``: whom to ask, so that nothing is
    decided. ``stop``: strings that end the answer, and are not part of it. ``json_schema``: a dict,
    or its JSON. ``priority``: of those that wait for a slot, ``Priority`` or its name.
    ``request_id``: 32 lower-case hex digits, made here when it is not given.

    ``timeout_s``: seconds, None for the client's ``timeout_s``, else the orchestrator's
    default. ``resume`` False: an answer that breaks after its first token ends in ``NotResumable``
    instead of going on elsewhere. ``strict``: after its first token only a node with the same
    weights goes on; else another model of the same specialty may, and the trailer says so
    (``Resume.same_weights``). ``direct``: stream straight from a node where that is possible;
    nothing else changes, and a node that fails is made good through an orchestrator.
    ``cacheable``: whether an earlier answer to the same request will do, and this one may be kept
    for that; None: where the answer is deterministic anyway. ``tenant``: whose request it is."""

    specialty: str | None
    model: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    repetition_penalty: float | None
    seed: int | None
    stop: Sequence[str] | str
    grammar: str | None
    json_schema: str | Mapping[str, Any] | None
    timeout_s: float | None
    priority: Priority | str
    resume: bool
    strict: bool
    request_id: str | None
    direct: bool
    cacheable: bool | None
    tenant: str


KINDS: dict[str, Kind] = {
    "specialty": TEXT,
    "model": TEXT,
    "max_tokens": WHOLE,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "top_k": WHOLE,
    "min_p": NUMBER,
    "repetition_penalty": NUMBER,
    "seed": WHOLE,
    "stop": TEXTS,
    "grammar": TEXT,
    "json_schema": SCHEMA,
    "timeout_s": NUMBER,
    "priority": PRIORITY,
    "resume": FLAG,
    "strict": FLAG,
    "request_id": TEXT,
    "direct": FLAG,
    "cacheable": FLAG,
    "tenant": TEXT,
}
OPTIONAL = frozenset(
    name for name, hint in get_type_hints(RequestOptions).items() if NoneType in get_args(hint)
)


def checked_request_options(options: Mapping[str, Any], *beside: str) -> RequestOptions:
    """As Python's own types. ``beside``: parameters of the call which may have been meant. Raises
    ``InvalidRequest`` for a name that there is not, and for a value of another type."""
    check_known(options, (*KINDS, *beside), "option")
    return cast(RequestOptions, checked_options(options, KINDS, OPTIONAL))


def request_of(prompt: Prompt, options: RequestOptions, timeout_s: float | None) -> Request:
    """``timeout_s``: seconds, for a call that names none. Raises ``InvalidRequest``."""
    options = checked_request_options(options)
    stop = options.get("stop", ())
    sampling = SaidSampling(
        max_tokens=options.get("max_tokens"),
        temperature=options.get("temperature"),
        top_p=options.get("top_p"),
        top_k=options.get("top_k"),
        min_p=options.get("min_p"),
        repetition_penalty=options.get("repetition_penalty"),
        seed=options.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        grammar=options.get("grammar"),
        json_schema=_schema_text(options.get("json_schema")),
    )
    messages = messages_of(prompt)
    chosen = options.get("timeout_s")
    timeout_s = chosen if chosen is not None else timeout_s
    # The size limit is the orchestrator's to say.
    check_request(messages, sampling, max_bytes=MAX_MESSAGE_BYTES, timeout_s=timeout_s)
    specialty, model = options.get("specialty"), options.get("model")
    check_model_id(model or "")
    priority, chosen_id = options.get("priority", Priority.NORMAL), options.get("request_id")
    try:
        return Request(
            id=check_request_id(chosen_id) if chosen_id else RequestId(uuid.uuid4().hex),
            messages=messages,
            sampling=sampling,
            specialty=check_specialty(specialty) if specialty else None,
            model=ModelId(model) if model else None,
            timeout_s=timeout_s,
            priority=Priority(priority),
            resumable=options.get("resume", True),
            strict=options.get("strict", False),
            cacheable=options.get("cacheable"),
            tenant=check_tenant(options.get("tenant", "")),
        )
    except ValueError:
        raise InvalidRequest(
            f"priority {shown(priority)!r} is unknown; one of {', '.join(Priority)}"
        ) from None


def _schema_text(schema: str | Mapping[str, Any] | None) -> str | None:
    if schema is None or isinstance(schema, str):
        return schema
    try:
        return json.dumps(dict(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"json_schema is not JSON: {error}") from None

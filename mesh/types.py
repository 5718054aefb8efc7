"""Domain types that cross module borders: ids, requests, decisions, and what a stream carries.

Plain frozen dataclasses; ``msgspec`` validates them when they come off a wire. Records that live in
the registry are in ``mesh/fleet/records.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, NewType

import msgspec

NodeId = NewType("NodeId", str)
OrchestratorId = NewType("OrchestratorId", str)
RequestId = NewType("RequestId", str)  # 32 lower-case hex digits
ModelId = NewType("ModelId", str)
Specialty = NewType("Specialty", str)

SPECIALTY_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"  # what a call of the assistant's came to


class Priority(StrEnum):
    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BATCH = "batch"


class FinishReason(StrEnum):
    STOP = "stop"  # the model ended its turn
    STOP_STRING = "stop_string"  # one of the request's stop strings appeared (not delivered)
    LENGTH = "length"  # max_tokens reached
    CONTEXT = "context"  # the model's context is full
    TOOL_CALLS = "tool_calls"  # the model wants tools called and their results
    CONTENT_FILTER = "content_filter"  # an upstream withheld the rest of the answer


class Text(msgspec.Struct, frozen=True, tag_field="part", tag="text"):
    text: str


class Image(msgspec.Struct, frozen=True, tag_field="part", tag="image"):
    """Its bytes in ``data`` or where they are in ``url``: one of them. ``media_type``: such as
    ``image/png``, "" where only the server behind ``url`` knows it."""

    media_type: str
    data: bytes = b""
    url: str = ""


class ToolCall(msgspec.Struct, frozen=True, tag_field="part", tag="tool_call"):
    """The assistant wants the tool ``name`` called. ``arguments``: a JSON object as text, exactly
    as the model wrote it: the order of its keys is part of the prompt that comes next."""

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True, tag_field="part", tag="tool_result"):
    """What the call ``call_id`` came to."""

    call_id: str
    text: str


Part = Text | Image | ToolCall | ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn. Calls stand in the assistant's turns, results in a tool's, images in a user's
    (``mesh/validation.py`` holds it). ``Message.of`` makes the usual one."""

    role: Role
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, role: Role, text: str) -> Message:
        return cls(role=role, parts=(Text(text),))

    @property
    def plain(self) -> bool:
        """Whether ``text`` is all of it, as of nearly every message."""
        parts = self.parts
        if len(parts) == 1:
            return isinstance(parts[0], Text)
        return all(isinstance(part, Text) for part in parts)

    @property
    def text(self) -> str:
        """Its text parts joined; "" where there are none."""
        parts = self.parts
        if len(parts) == 1:
            only = parts[0]
            return only.text if isinstance(only, Text) else ""
        return "".join([part.text for part in parts if isinstance(part, Text)])


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidSampling:
    """What a client said of sampling: None where it said nothing, which the orchestrator settles
    once it has decided (``mesh/manners.py``). Order of application as in llama.cpp's default chain:
    repetition penalty, top-k, top-p, min-p, temperature, draw.

    ``max_tokens`` None, also once settled: the answer runs to its own end, or to the end of the
    model's context. ``temperature`` 0 is greedy. ``top_k`` 0, ``top_p`` 1 and ``min_p`` 0 switch
    that filter off. ``seed`` None means a fresh seed a request. ``repetition_penalty`` 1 is off.

    ``grammar``: GBNF whose rule ``root`` the whole answer follows; ``json_schema``: a JSON Schema,
    as JSON text, that the answer fits. At most one of them; None: any text. What is chosen among
    is then the likeliest of what they allow; ``max_tokens`` may still cut an answer short.
    """

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    json_schema: str | None = None

    @property
    def bound(self) -> bool:
        """Whether the answer has to keep to a form: to a grammar or a JSON schema."""
        return self.grammar is not None or self.json_schema is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling(SaidSampling):
    """What a node draws by: nothing is left open. By itself greedy, with no filter on."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a specialty answers whoever says nothing else. ``system``: text for the model, where the
    client gives none of its own; "" for none."""

    sampling: Sampling
    system: str = ""


class Piece(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One token as delivered: its id and the text it completes. A struct, since msgspec reads and
    writes those in C: this is what nearly all bytes between processes are.

    ``text`` is "" while a multi-byte character or a possible stop string is still open; the text
    then comes with the piece that settles it. Joined texts are always valid UTF-8.
    """

    id: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """The part of an answer that its client has, when another orchestrator began it and was lost.

    ``tokenizer_hash``: whose ids the pieces all have, "" when only their text means anything.
    ``attempts``: so far. ``specialty``: that the answer is of; ``model``: of the last attempt,
    preferred; ``weights``: its (``mesh/fleet/weights.py``), "" if not known. ``system``: the text
    that was put before it for the model, "" for none, None if not known.
    """

    pieces: tuple[Piece, ...] = ()
    tokenizer_hash: str = ""
    attempts: int = 0
    specialty: Specialty | None = None
    model: ModelId | None = None
    weights: str = ""
    system: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asks. ``timeout_s`` is the whole budget in seconds from arrival, None = the
    orchestrator's default. ``specialty`` or ``model`` set: the cascade is not asked.

    ``resumable`` False: an answer that breaks after its first token ends in ``NotResumable``
    instead of going on elsewhere; before that it starts again. ``strict``: after its first token
    only the same weights go on; else another model of the specialty may. ``continuation``: see
    there.
    ``tenant``: whose request it is; tenants never share remembered answers. ``cacheable``: whether
    an earlier answer may be given, and this one be kept for that: None where it is deterministic.
    """

    id: RequestId
    messages: tuple[Message, ...]
    sampling: SaidSampling = field(default_factory=SaidSampling)
    specialty: Specialty | None = None
    model: ModelId | None = None
    timeout_s: float | None = None
    priority: Priority = Priority.NORMAL
    resumable: bool = True
    continuation: Continuation | None = None
    tenant: str = ""
    cacheable: bool | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    specialty: Specialty
    probability: float
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageVerdict:
    """One stage's word in a decision: it decided (``specialty`` set) or abstained (None)."""

    stage: str
    specialty: Specialty | None
    confidence: float
    rule: str | None
    micros: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The cascade's answer. ``stage`` is ``requested`` when the client named specialty or model,
    ``fallback`` when every stage abstained, and ``resumed`` when another orchestrator decided.
    ``micros``: whole cascade, microseconds. ``manner``: of its specialty, by the orchestrator's
    settings; None where the cascade alone was asked."""

    specialty: Specialty
    stage: str
    rule: str | None
    confidence: float
    alternatives: tuple[Alternative, ...] = ()
    verdicts: tuple[StageVerdict, ...] = ()
    rules_version: str = ""
    micros: float = 0.0
    manner: Manner | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Counts of tokens and times in milliseconds, measured where the engine runs."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One row of a placement. ``eligible`` False: ``reason`` says why this node takes no such work;
    True: ``reason`` says what gave it its rank."""

    node: NodeId
    node_name: str
    model: ModelId
    eligible: bool
    reason: str
    score: float = 0.0

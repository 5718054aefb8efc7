"""Whether a node, and a model on it, can take a piece of work; where not, why, as a code.

Pure. Codes are put into words where a person reads them, in ``mesh/fleet/reasons.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from math import inf

from mesh.fleet.records import (
    TRANSPORTS,
    ModelRecord,
    ModelState,
    NodeState,
    NodeView,
)
from mesh.fleet.weights import same_weights, weights_of
from mesh.fleet.work import Work
from mesh.types import ModelId, NodeId, Specialty

# No tokenizer in use makes fewer tokens than one per 64 bytes of prose; what passes this bound may
# still overflow, and then the engine, which counts for real, refuses it.
BYTES_PER_TOKEN_AT_MOST = 64


class RefusalCode(Enum):
    """The node's: down to ``NO_LINK``. The rest are the model's."""

    TRIED = auto()
    NODE_STARTING = auto()
    NODE_DRAINING = auto()
    NODE_FAILED = auto()
    SET_ASIDE = auto()
    UNKNOWN_TRANSPORT = auto()
    NO_LINK = auto()
    NO_MODEL = auto()
    OTHER_MODEL = auto()
    OTHER_SPECIALTY = auto()
    MODEL_FAILED = auto()
    PROMPT_TOO_LONG = auto()
    ONLY_EMBEDS = auto()
    ONLY_ANSWERS = auto()
    UNABLE = auto()
    CONTEXT_TOO_SMALL = auto()
    OTHER_WEIGHTS = auto()


_OF_STATE = {
    NodeState.STARTING: RefusalCode.NODE_STARTING,
    NodeState.DRAINING: RefusalCode.NODE_DRAINING,
    NodeState.FAILED: RefusalCode.NODE_FAILED,
}
# Of a node: a link takes milliseconds to stand, and a node that was set aside is tried again within
# a second. The others stay so.
PASSING = frozenset({RefusalCode.NODE_STARTING, RefusalCode.SET_ASIDE, RefusalCode.NO_LINK})


@dataclass(frozen=True, slots=True)
class Refusal:
    """``about``: the model or specialty that was asked for, the endpoint without a link, the
    transport that is not known, or what the node itself says of its state or its model's error.
    ``seconds``: that it is set aside for yet. ``prompt_bytes``: too many for ``context_tokens``."""

    code: RefusalCode
    about: str = ""
    seconds: float = 0.0
    prompt_bytes: int = 0
    context_tokens: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Offer:
    """All of a hosted model that eligibility depends on. Nodes of a fleet offer much the same, so a
    request is held against each offer and not against each node: ``offer_of`` gives one object for
    equal ones, which are told apart by identity. ``context_length``: tokens, 0 for not known.
    ``failed``: the model's error, None while it works. ``weights``: see ``weights_of``."""

    id: ModelId
    specialties: tuple[Specialty, ...]
    embeds: bool
    context_length: int
    failed: str | None
    weights: str


OfferKey = tuple[ModelId, tuple[Specialty, ...], bool, int, str | None, str]


def offer_of(record: ModelRecord, state: ModelState, known: dict[OfferKey, Offer]) -> Offer:
    """``state``: by the node's newest word. ``known``: offers so far; a new one is added."""
    failed = (record.error or "") if state is ModelState.FAILED else None
    key = (
        record.id,
        record.specialties,
        record.embeds,
        record.context_length,
        failed,
        weights_of(record),
    )
    found = known.get(key)
    if found is None:
        found = known[key] = Offer(*key)
    return found


def asked_for(model: ModelRecord | Offer, work: Work, specialty: Specialty) -> bool:
    """Whether the work is for such a model: the one that was named, else any of ``specialty``."""
    return model.id == work.model if work.model is not None else specialty in model.specialties


def able(model: ModelRecord | Offer, work: Work) -> bool:
    """Whether it does such work at all (it embeds, or it answers), and has not said that it cannot
    do this."""
    return model.embeds is work.embeds and model.id not in work.unable


def served(models: Iterable[ModelRecord], work: Work, specialty: Specialty) -> bool:
    """Whether some model, in whatever state, is asked for and able."""
    return any(asked_for(model, work, specialty) and able(model, work) for model in models)


def model_refusal(offer: Offer, work: Work, specialty: Specialty) -> Refusal | None:
    """Why such a model cannot take the work, wherever it is. ``specialty``: whose models answer,
    which is a substitute's where nobody serves the work's own."""
    if not asked_for(offer, work, specialty):
        if work.model is not None:
            return Refusal(RefusalCode.OTHER_MODEL, work.model)
        return Refusal(RefusalCode.OTHER_SPECIALTY, specialty)
    if offer.failed is not None:
        return Refusal(RefusalCode.MODEL_FAILED, offer.failed)
    if work.prompt_bytes > most_bytes(offer.context_length):
        return Refusal(
            RefusalCode.PROMPT_TOO_LONG,
            prompt_bytes=work.prompt_bytes,
            context_tokens=offer.context_length,
        )
    if not able(offer, work):
        if offer.embeds is not work.embeds:
            return Refusal(RefusalCode.ONLY_EMBEDS if offer.embeds else RefusalCode.ONLY_ANSWERS)
        return Refusal(RefusalCode.UNABLE)
    if 0 < offer.context_length <= work.larger_than:
        return Refusal(RefusalCode.CONTEXT_TOO_SMALL, context_tokens=offer.context_length)
    if work.strict and not same_weights(work.prefer or "", work.weights, offer.id, offer.weights):
        return Refusal(RefusalCode.OTHER_WEIGHTS, work.prefer or "")
    return None


def node_refusal(node: NodeView, now: float, exclude: frozenset[NodeId]) -> Refusal | None:
    """Why this node takes nothing from here now. ``now``: monotonic seconds. ``exclude``: nodes
    that were tried already."""
    record = node.record
    if record.id in exclude:
        return Refusal(RefusalCode.TRIED)
    if node.state is not NodeState.READY:
        return Refusal(_OF_STATE[node.state], node.reason)
    if node.set_aside_until is not None and node.set_aside_until > now:
        return Refusal(
            RefusalCode.SET_ASIDE, node.set_aside_reason, seconds=node.set_aside_until - now
        )
    if record.transport not in TRANSPORTS:
        return Refusal(RefusalCode.UNKNOWN_TRANSPORT, record.transport)
    if not node.link_up:
        return Refusal(RefusalCode.NO_LINK, record.endpoint)
    return None


def row_refusal(node: NodeView, model: ModelId, now: float, work: Work) -> Refusal | None:
    """Why this model on this node takes the work no more, or not yet, though the node may."""
    if (node.record.id, model) in work.tried:
        return Refusal(RefusalCode.TRIED)
    until, reason = node.models_aside.get(model, (now, ""))
    return Refusal(RefusalCode.SET_ASIDE, reason, seconds=until - now) if until > now else None


def most_bytes(context_length: int) -> float:
    """Of a prompt. A context that is not known yet rules nothing out: heartbeats say ``ready``
    before the registry has the whole record, and the node checks the prompt itself."""
    return context_length * BYTES_PER_TOKEN_AT_MOST or inf

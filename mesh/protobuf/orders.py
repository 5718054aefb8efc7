"""Orders to a node and what it says of them, to protobuf and back."""

from __future__ import annotations

import math

from mesh.cleaned import cleaned
from mesh.errors import InvalidRequest, ProtocolError
from mesh.orders import LoadOrder, Phase, Step, UnloadOrder
from mesh.v1 import mesh_pb2 as pb

LONGEST_SOURCE = 4096  # characters, as of a path
LONGEST_NAME = 120
MOST_SPECIALTIES = 16


def load_to_wire(order: LoadOrder, node: str = "") -> pb.LoadRequest:
    wire = pb.LoadRequest(
        source=order.source,
        specialties=order.specialties,
        id=order.id,
        engine=order.engine,
        node_id=node,
    )
    if order.slots is not None:
        wire.slots = order.slots
    if order.context_length is not None:
        wire.context_length = order.context_length
    return wire


def load_from_wire(wire: pb.LoadRequest) -> LoadOrder:
    """Raises ``InvalidRequest`` for what no node needs to look into."""
    _check("source", wire.source, LONGEST_SOURCE)
    if not wire.source:
        raise InvalidRequest("source is empty: say which model")
    if len(wire.specialties) > MOST_SPECIALTIES:
        raise InvalidRequest(f"at most {MOST_SPECIALTIES} specialties, not {len(wire.specialties)}")
    for name, text in (("id", wire.id), ("engine", wire.engine)):
        _check(name, text, LONGEST_NAME)
    return LoadOrder(
        source=wire.source,
        specialties=tuple(wire.specialties),
        id=wire.id,
        engine=wire.engine,
        slots=wire.slots if wire.HasField("slots") else None,
        context_length=wire.context_length if wire.HasField("context_length") else None,
    )


def unload_to_wire(order: UnloadOrder, node: str = "") -> pb.UnloadRequest:
    return pb.UnloadRequest(model=order.model, wait=order.wait, node_id=node)


def unload_from_wire(wire: pb.UnloadRequest) -> UnloadOrder:
    """Raises ``InvalidRequest``."""
    _check("model", wire.model, LONGEST_NAME)
    return UnloadOrder(model=wire.model, wait=wire.wait)


def step_to_wire(step: Step) -> pb.OrderStep:
    return pb.OrderStep(
        phase=step.phase,
        model=step.model,
        percent=step.percent,
        answers=step.answers,
        text=step.text,
        device=step.device,
        slots=step.slots,
        context_length=step.context_length,
        bytes=step.bytes,
        load_s=step.load_s,
    )


def step_from_wire(wire: pb.OrderStep) -> Step:
    """Its texts as they may be shown. Raises ``ProtocolError``."""
    try:
        phase = Phase(wire.phase)
    except ValueError:
        raise ProtocolError(f"the node says '{wire.phase}', which is no step of an order") from None
    if not math.isfinite(wire.load_s):
        raise ProtocolError("the node says that a load took no time there is")
    return Step(
        phase=phase,
        model=cleaned(wire.model, LONGEST_NAME),
        percent=min(100, max(0, wire.percent)),
        answers=wire.answers,
        text=cleaned(wire.text, 1_000),
        device=cleaned(wire.device, LONGEST_NAME),
        slots=wire.slots,
        context_length=wire.context_length,
        bytes=wire.bytes,
        load_s=wire.load_s,
    )


def _check(name: str, text: str, most: int) -> None:
    if len(text) > most:
        raise InvalidRequest(f"{name} has {len(text):,} characters; at most {most:,}")
    if text != cleaned(text, most):
        raise InvalidRequest(f"{name} has characters that cannot be shown: '{cleaned(text, most)}'")

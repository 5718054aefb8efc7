"""The data plane's interface: attempts go to a node, events come back under credit.

An orchestrator (or a forwarding node) *dials* a node, one ``Link`` each. A node *listens*.
Both ends speak in the dataclasses below; ``frames`` turns them into bytes for ZeroMQ.

Guarantees, held by one contract suite over every implementation:
* Order and completeness: the events of one stream arrive in order, none lost, none twice, or the
  stream raises ``NodeLost``. A stream ends with exactly one of Finished, Refused, Failed.
* Credit: a node sends at most ``Attempt.credit`` plus all ``grant``s pieces; ``Sink.send`` of
  ``Tokens`` waits for credit, so what a slow reader holds up is its own stream only. So a stream's
  memory is bounded by its credit at either end of a link: with the default of 256 pieces of a few
  letters, some 40 KB while nobody reads (and next to nothing while somebody does).
* Cancellation: ``AttemptStream.cancel`` (and leaving its context) cancels the handler's task on the
  node, without waiting for it. A peer that is gone cancels its handlers within ``peer_timeout_s``.
* Liveness: heartbeats and pings flow while a link is up; silence for ``peer_timeout_s`` or a
  different ``NodeId`` brings the link down and every open stream raises ``NodeLost`` at once.
* Bad input: a malformed, oversized or out-of-order frame ends that peer's session with a logged
  reason, and nothing else. A handshake with another protocol version is answered with a reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

import msgspec

from mesh.fleet.records import Heartbeat
from mesh.types import (
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    RequestId,
    Sampling,
    Specialty,
    Usage,
)

# Pieces. Small enough to bound memory and what is made in vain for a client that goes away; large
# enough that a fast stream crosses in few messages (on gRPC a message costs as much as 100 pieces).
DEFAULT_CREDIT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a request on one node.

    ``delivered``: pieces the client already has; generation goes on after them (a resume). By ids
    when ``tokenizer_hash`` equals the model's, else by their joined text. ``timeout_s``: what is
    left of the budget, in seconds. ``traceparent``: W3C trace context, "" for none.
    ``hops``: ids of nodes that forwarded it already. ``may_forward``: a node that cannot take it
    may hand it to a peer; False: it refuses, and the caller chooses again. ``specialty``: a peer
    with another model of it may answer as well, None for this very model only.

    ``texts``: to embed. Then there are no messages, ``credit`` is their number, and the answer is
    ``Vectors`` instead of ``Tokens``.
    """

    request_id: RequestId
    number: int
    model: ModelId
    messages: tuple[Message, ...]
    sampling: Sampling
    timeout_s: float
    credit: int = DEFAULT_CREDIT
    delivered: tuple[Piece, ...] = ()
    tokenizer_hash: str = ""
    traceparent: str = ""
    hops: tuple[NodeId, ...] = ()
    may_forward: bool = False
    specialty: Specialty | None = None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The node has a slot for it."""

    node: NodeId
    model: ModelId


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A sign of life before the first token. ``phase``: ``queued``, ``loading``, ``prefilling``.
    ``done``/``total`` in the phase's unit (tokens for prefill, percent for loading)."""

    phase: str
    done: int = 0
    total: int = 0


class Tokens(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Consecutive pieces; ``first`` is the index of the first, counted from 0 over the whole
    answer (delivered pieces of a resume included)."""

    first: Annotated[int, msgspec.Meta(ge=0)]
    pieces: Annotated[tuple[Piece, ...], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vectors:
    """Vectors of consecutive texts; ``first`` is the index of the first text, from 0. ``data``: a
    row of ``dimension`` little-endian float32 for each. What a stream may hold of them is bounded
    by the number of its texts."""

    first: int
    dimension: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Good end; all text has been sent as pieces before it."""

    reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The node takes no such work now: overload, draining, unknown model. Not a failure, except
    that ``code`` ``invalid_request``/``context_overflow`` would be refused anywhere alike."""

    code: str
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempt broke: engine error, runner crash, drain with nothing left to wait for."""

    code: str
    message: str


AttemptEvent = Accepted | Progress | Tokens | Vectors | Finished | Refused | Failed


class AttemptStream(Protocol):
    """The dialing side of one attempt. As a context manager, leaving it cancels what is open."""

    def __aiter__(self) -> AsyncIterator[AttemptEvent]: ...

    async def __anext__(self) -> AttemptEvent:
        """The next event; ``StopAsyncIteration`` after the terminal one. Raises ``NodeLost``."""
        ...

    def grant(self, pieces: int) -> None:
        """Allows the node to send that many more pieces."""
        ...

    def cancel(self) -> None:
        """Ends the attempt on the node; idempotent; nothing more is yielded."""
        ...

    async def __aenter__(self) -> AttemptStream: ...

    async def __aexit__(self, *exc: object) -> None: ...


class Link(Protocol):
    """A dialing process's one connection to one node."""

    @property
    def up(self) -> bool:
        """Whether the handshake stands and the peer was heard within ``peer_timeout_s``."""
        ...

    @property
    def tries(self) -> int:
        """How often it did not come up, since it last was."""
        ...

    async def run(self) -> None:
        """Owns sockets and timers; reconnects until cancelled; then closes all streams."""
        ...

    def open(self, attempt: Attempt) -> AttemptStream:
        """Sends the attempt at once. Raises ``NodeLost`` when the link is not up."""
        ...


OnHeartbeat = Callable[[Heartbeat], None]
OnLink = Callable[[bool], None]  # True: came up; False: went down


class Dialer(Protocol):
    """Makes links over one transport."""

    def link(self, endpoint: str, node: NodeId, on_heartbeat: OnHeartbeat, on_link: OnLink) -> Link:
        """A link to ``node`` at ``endpoint`` (``tcp://host:port``); the caller runs it."""
        ...


class Sink(Protocol):
    """Where a node's handler puts the events of one attempt."""

    async def send(self, event: AttemptEvent) -> None:
        """Queues the event; ``Tokens`` wait until credit covers all their pieces. Bounded: waits
        while the wire's own buffer is full."""
        ...


Handler = Callable[[Attempt, Sink], Awaitable[None]]


class Listener(Protocol):
    """A node's end. ``endpoint`` is known after ``bind`` (port 0 picks a free one)."""

    @property
    def endpoint(self) -> str: ...

    def bind(self) -> None:
        """Raises ``PortInUse`` naming the address."""
        ...

    async def run(self, handler: Handler) -> None:
        """Serves until cancelled: one task per attempt, owned here. A handler that raises a
        ``MeshError`` ends its stream with ``Failed`` of that code; any other exception is logged
        with its traceback and sent as ``Failed`` ``internal``; a handler that returns without a
        terminal event is a defect and sent as ``Failed`` ``internal``."""
        ...

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Sends it to every peer now and repeats the newest one at each interval."""
        ...

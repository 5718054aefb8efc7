"""What the client plane carries: the events of one answer, and the answers of Route and Fleet.

The orchestrator's dispatch yields these, ``mesh/protobuf`` turns them into bytes and back, and
the SDK hands them to whoever wants more than text. ``Progress`` and ``Tokens`` are the data
plane's own. A stream is: ``Decided``, then ``Assigned``, ``Progress`` and ``Tokens`` as they come,
``Done`` last; one that ends without ``Done`` ended in a ``MeshError``.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh.fleet.records import NodeRecord, OrchestratorRecord
from mesh.transport.base import Progress, Tokens
from mesh.types import (
    Candidate,
    Decision,
    FinishReason,
    ModelId,
    NodeId,
    RequestId,
    Specialty,
)

__all__ = [
    "Assigned",
    "Decided",
    "Done",
    "FleetStatus",
    "Grant",
    "NodeStatus",
    "Progress",
    "Ready",
    "Resume",
    "Route",
    "StreamEvent",
    "Tokens",
    "Unreadable",
    "Waiting",
]


SHORTEST_SPREAD_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The first event of every answer: what the cascade said, and the request's id."""

    request_id: RequestId
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """A node accepted attempt number ``attempt`` (from 1). A second one means a resume or a retry
    elsewhere; the tokens go on without a gap. ``tokenizer_hash``: the model's, "" if not known.
    ``specialty``: that it is asked for, which may be a substitute of what was decided; "" where the
    sender does not know. ``weights``: of the model (``mesh/fleet/weights.py``), "" if not known."""

    node: NodeId
    node_name: str
    model: ModelId
    attempt: int
    tokenizer_hash: str = ""
    specialty: str = ""
    weights: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Nothing will come for a while: the node of this answer is lost, or nobody is there for it,
    and the mesh waits for one. ``why``: one line for a person. ``up_to_s``: seconds before it gives
    up; a node that comes ends the wait at once."""

    why: str
    up_to_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """One time that an answer went on elsewhere. Nodes by name. ``at_token``: index of the first
    token after it. ``gap_ms``: from the last token before it to the first one after. ``reason``:
    the code of the error that ended the attempt before (``mesh/errors.py``).

    ``same_weights``: as far as both nodes say what they are; False: another model wrote the rest.
    ``by_ids``: it went on from the very tokens, False: from their text."""

    from_node: str
    to_node: str
    at_token: int
    gap_ms: float
    reason: str
    from_model: str = ""
    to_model: str = ""
    same_weights: bool = False
    by_ids: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Good end. Node, name and model are the last attempt's.

    ``ttft_ms``: milliseconds from the request's arrival at the orchestrator to its first token.
    ``queue_ms``: of those, waiting for a free slot. ``tokens_per_second``: see
    ``rate``. ``resumed``: more than one attempt made the answer, ``resumes`` says which.
    ``trace_id``: 32 hex digits. ``source``: the stage of the router that had the answer (``memo``,
    ``exact``), "" when a node made it.
    """

    reason: FinishReason
    node: NodeId
    node_name: str
    model: ModelId
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    ttft_ms: float
    tokens_per_second: float
    resumed: bool
    attempts: int
    trace_id: str
    queue_ms: float
    resumes: tuple[Resume, ...] = ()
    source: str = ""


def rate(tokens: int, spread_s: float) -> float:
    """Tokens a second of an answer whose first and last token came ``spread_s`` seconds apart; 0
    where that is too short to be a pace: they came together, from a memory or after a stall."""
    return (tokens - 1) / spread_s if tokens > 1 and spread_s >= SHORTEST_SPREAD_S else 0.0


StreamEvent = Decided | Assigned | Waiting | Progress | Tokens | Done


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A whole answer that stage ``source`` of the router has, so that no node is asked.
    ``node_name`` "": the orchestrator itself makes it."""

    source: str
    text: str
    node_name: str
    model: ModelId
    reason: FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A dry run: what would be decided, and which nodes would be asked, best first; those that
    would not be come last, with their reason. ``ready``: the answer, where it is there already.
    ``prior``: the conversation's specialty so far, None at its start or when nothing told it."""

    decision: Decision
    candidates: tuple[Candidate, ...]
    ready: Ready | None = None
    prior: Specialty | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A ticket as a client gets it. ``token`` goes to the node as it is; the rest says what it is
    good for. ``endpoint``: ``host:port``. ``lifetime_s``: seconds from now. ``max_tokens``: of each
    answer; ``max_streams``: at once. ``tokenizer_hash``: the model's."""

    token: str
    node: NodeId
    node_name: str
    endpoint: str
    model: ModelId
    lifetime_s: float
    max_tokens: int
    max_streams: int
    tokenizer_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A node as the asked orchestrator sees it: its record, with the newest slots and state of its
    heartbeat laid over it. ``last_seen``: Unix seconds; ``last_seen_age_s``: how long ago;
    ``in_flight``: this orchestrator's own attempts on it. ``unreachable_since``, ``gone_since``:
    Unix seconds, None where it can be reached and is there."""

    record: NodeRecord
    last_seen: float
    last_seen_age_s: float
    in_flight: int
    link_up: bool
    unreachable_since: float | None = None
    gone_since: float | None = None

    @property
    def standing(self) -> str:
        """``gone``, ``unreachable``, or else the state that the node itself tells."""
        if self.gone_since is not None:
            return "gone"
        return "unreachable" if self.unreachable_since is not None else str(self.record.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A registry key that holds something else than it should."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """All records the asked orchestrator sees now. ``registry_connected`` False: it goes on from
    what it saw last. ``gone``: nodes that left lately, as they were last. ``unreadable``: what was
    set aside, with ``unreadable_more`` beside it that are not listed. ``registry_shortfall``: what
    of the registry is not read, and why; "" for nothing."""

    nodes: tuple[NodeStatus, ...]
    orchestrators: tuple[OrchestratorRecord, ...]
    registry_connected: bool
    gone: tuple[NodeStatus, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    unreadable_more: int = 0
    registry_shortfall: str = ""

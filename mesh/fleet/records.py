"""What nodes and orchestrators write about themselves in the registry, and heartbeats.

JSON, read through ``border``, which says what each may be: newer fields are ignored, wrong
types and values out of range are a ``ProtocolError``. Sizes are bytes, times Unix seconds,
temperatures degrees Celsius, power watts, shares 0..1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import msgspec

from mesh.errors import ProtocolError
from mesh.fleet import border
from mesh.types import ModelId, NodeId, OrchestratorId, Specialty

PROTOCOL_VERSION = 3  # of the data plane; 3: a piece is a pair of id and text
TRANSPORTS = ("zeromq", "grpc")  # of the data plane, as node records name them

_NodeId = Annotated[NodeId, border.ID]
_OrchestratorId = Annotated[OrchestratorId, border.ID]
_ModelId = Annotated[ModelId, msgspec.Meta(min_length=1, max_length=512)]
Specialties = Annotated[
    tuple[Annotated[Specialty, msgspec.Meta(min_length=1, max_length=64)], ...], border.FEW
]


class NodeState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class ModelState(StrEnum):
    COLD = "cold"
    LOADING = "loading"
    RESIDENT = "resident"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One CUDA device or one MIG instance (``parent_uuid`` set). A reading that the driver does not
    give is None, never a guess. ``throttled``: why it runs slower than it could, in plain words, ""
    for not; ``throttled_to``: the share of its speed that is likely left. ``dtypes``: number
    formats that it computes fast (``node/hardware/care/dtypes.py``). ``unified``: its
    memory is the box's own, of which these bytes are a budget."""

    uuid: border.Name
    name: border.Name
    index: border.Index
    total_bytes: border.Bytes
    used_bytes: border.Bytes
    free_bytes: border.Bytes
    temperature_c: border.Celsius | None = None
    power_w: border.Watts | None = None
    utilisation: border.Share | None = None
    compute_capability: border.Name | None = None
    parent_uuid: border.Name | None = None
    error: border.Words | None = None
    throttled: border.Words = ""
    throttled_to: border.Share = 1.0
    dtypes: Annotated[tuple[border.Name, ...], border.FEW] = ()
    unified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    name: border.Name
    physical_cores: border.Index
    logical_cores: border.Index
    load: border.Load | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    total_bytes: border.Bytes
    available_bytes: border.Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCounts:
    """What a model's sequences cost and were spared, since the node started, measured ones left
    out. ``reused``: of ``sequences``, those that began with tokens computed before, which were
    ``reused_tokens`` of all ``prompt_tokens``. ``drafted_tokens`` were guessed by speculation,
    ``accepted_tokens`` of them were right."""

    sequences: border.Count = 0
    reused: border.Count = 0
    prompt_tokens: border.Count = 0
    reused_tokens: border.Count = 0
    drafted_tokens: border.Count = 0
    accepted_tokens: border.Count = 0

    def __add__(self, other: ModelCounts) -> ModelCounts:
        return ModelCounts(
            sequences=self.sequences + other.sequences,
            reused=self.reused + other.reused,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            reused_tokens=self.reused_tokens + other.reused_tokens,
            drafted_tokens=self.drafted_tokens + other.drafted_tokens,
            accepted_tokens=self.accepted_tokens + other.accepted_tokens,
        )

    def since(self, earlier: ModelCounts) -> ModelCounts:
        """What came after ``earlier`` was counted."""
        return ModelCounts(
            sequences=self.sequences - earlier.sequences,
            reused=self.reused - earlier.reused,
            prompt_tokens=self.prompt_tokens - earlier.prompt_tokens,
            reused_tokens=self.reused_tokens - earlier.reused_tokens,
            drafted_tokens=self.drafted_tokens - earlier.drafted_tokens,
            accepted_tokens=self.accepted_tokens - earlier.accepted_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """A model on a node. ``tokenizer_hash``: equal hashes mean token ids can be exchanged.
    ``template_hash``: the chat template's. ``device``: ``cpu`` or a GPU UUID. ``context_length``:
    tokens a slot, 0 while the model has not told yet.

    ``estimated_bytes``: on its device, before it was loaded; ``measured_bytes``: as it is, 0 while
    it is not known. ``note``: plain words on where it is and why it is not resident, "" for
    nothing to say. ``last_error``: also once it works again. ``load_s``: its last load, seconds.
    ``tier``: ``local``, ``subscription`` or ``premium``, "" where nobody has said; ``input_price``,
    ``output_price``: of a million tokens, in the owner's currency, None where nobody has said.
    ``cpu_fallback``: it was meant for a GPU and runs on the CPU, as its settings allow.
    ``load_percent``, ``unload_at`` (Unix seconds, 0: it stays), ``queued`` and ``counts`` are in
    heartbeats.
    ``prefill_tps``, ``decode_tps`` and so on: tokens per second as the node measured them, 0 while
    it has not: of one prompt; of all answers together with one, half and all slots running.
    ``embeds``: it turns texts into vectors, and generates none; False: the other way round.
    ``instant``: an answer of its takes milliseconds."""

    id: _ModelId
    engine: border.Name
    specialties: Specialties
    state: ModelState
    slots: border.Slots
    used_slots: border.Slots
    context_length: border.Context
    device: border.Name
    file: border.Words = ""
    file_bytes: border.Bytes = 0
    architecture: border.Name = ""
    parameters: border.Count = 0
    quantisation: border.Name = ""
    tokenizer_hash: border.Name = ""
    template_hash: border.Name = ""
    tier: border.Name = ""
    input_price: border.Price | None = None
    output_price: border.Price | None = None
    error: border.Words | None = None
    pinned: bool = False
    ttl_s: border.Seconds | None = None
    estimated_bytes: border.Bytes = 0
    measured_bytes: border.Bytes = 0
    load_s: border.Seconds = 0.0
    note: border.Words = ""
    last_error: border.Words = ""
    load_percent: border.Percent = 0
    unload_at: border.Moment = 0.0
    queued: border.Slots = 0
    prefill_tps: border.Speed = 0.0
    decode_tps: border.Speed = 0.0
    decode_tps_half: border.Speed = 0.0
    decode_tps_full: border.Speed = 0.0
    embeds: bool = False
    cpu_fallback: bool = False
    instant: bool = False
    counts: ModelCounts = ModelCounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """``/mesh/v1/nodes/<id>``. ``instance`` changes at every start of the agent, ``id`` never.
    ``direct_endpoint``: ``host:port`` of gRPC for clients with a ticket, "" for none.
    ``reason`` says why the node takes no work, "" when it does. ``accelerator`` is the plain-words
    line on GPUs ("no NVIDIA driver on this box: models run on the CPU")."""

    id: _NodeId
    instance: border.Name
    name: border.Name
    host: border.Name
    pid: border.Pid
    state: NodeState
    reason: border.Words
    endpoint: border.Name
    transport: border.Name = "zeromq"
    direct_endpoint: border.Name = ""
    specialties: Specialties = ()
    models: Annotated[tuple[ModelRecord, ...], border.MANY] = ()
    gpus: Annotated[tuple[Gpu, ...], border.FEW] = ()
    accelerator: border.Words = ""
    cpu: Cpu | None = None
    memory: Memory | None = None
    version: border.Name = ""
    protocol: border.Index = PROTOCOL_VERSION
    started_at: border.Moment = 0.0
    updated_at: border.Moment = 0.0

    def model(self, model: ModelId) -> ModelRecord | None:
        """What the node says of this model of its own; None: it hosts no such model."""
        return next((record for record in self.models if record.id == model), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRules:
    """Rules that were offered and not taken. ``version`` "": the source could not be read."""

    version: border.Name
    why: border.Words
    at: border.Moment = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesStatus:
    """``version``, ``count``: of the rules in use. ``refused``: newer ones that are not."""

    version: border.Name
    count: border.Count
    refused: RefusedRules | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorRecord:
    """``/mesh/v1/orchestrators/<id>``. ``ticket_key``: the public key that verifies its tickets
    (``mesh/security/tickets.py``)."""

    id: _OrchestratorId
    instance: border.Name
    name: border.Name
    host: border.Name
    pid: border.Pid
    endpoint: border.Name
    version: border.Name = ""
    rules_version: border.Name = ""
    rules: RulesStatus | None = None
    fallback: border.Name = ""
    ticket_key: border.Name = ""
    started_at: border.Moment = 0.0
    updated_at: border.Moment = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoad:
    """The hot part of a ``ModelRecord``, in every heartbeat. ``queued``: requests in its line on
    the node. ``slots`` is 0 while the node cannot load it. ``expected_wait_s``: until a request
    that comes now is likely to have a slot, None where the node does not say. ``counts``: as at the
    last sequence's end."""

    model: _ModelId
    state: ModelState
    slots: border.Slots
    used_slots: border.Slots
    queued: border.Slots = 0
    load_percent: border.Percent = 0
    unload_at: border.Moment = 0.0
    expected_wait_s: border.Wait | None = None
    counts: ModelCounts = ModelCounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Sent by a node over each data-plane link: at once when slots change, else every interval."""

    node: _NodeId
    state: NodeState
    reason: border.Words = ""
    models: Annotated[tuple[ModelLoad, ...], border.MANY] = ()
    free_vram_bytes: Annotated[tuple[border.Bytes, ...], border.FEW] = ()
    expected_wait_s: border.Wait = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One node as a process sees it now: the record, with newer hot signals laid over it.

    ``last_seen``: monotonic seconds of the last sign of life (record change or heartbeat).
    ``in_flight``: this process's own attempts on the node. ``link_up``: a handshake stands.
    ``set_aside_until``: monotonic seconds; a local verdict after a failure, None when healthy.
    ``models_aside``: the same of single models, until when and why; the others go on.
    ``lost_at``: monotonic seconds, from when it counts as unreachable; None: it was reached, or
    nobody tried.
    """

    record: NodeRecord
    heartbeat: Heartbeat | None = None
    last_seen: float = 0.0
    in_flight: int = 0
    link_up: bool = False
    set_aside_until: float | None = None
    set_aside_reason: str = ""
    models_aside: Mapping[ModelId, tuple[float, str]] = field(default_factory=dict)
    lost_at: float | None = None

    @property
    def state(self) -> NodeState:
        """By its newest word. A heartbeat is newer than the record, and goes on while the registry
        is away."""
        return (self.heartbeat or self.record).state

    @property
    def reason(self) -> str:
        """As ``NodeRecord.reason``, by its newest word."""
        return (self.heartbeat or self.record).reason

    def load(self, model: ModelId) -> ModelLoad | None:
        """The model's hot part, as the last heartbeat tells it; None: it tells nothing of it."""
        for load in self.heartbeat.models if self.heartbeat is not None else ():
            if load.model == model:
                return load
        return None

    def newest(self, model: ModelId) -> ModelLoad | ModelRecord | None:
        """The newest word on the model's state and slots; None: the node hosts no such model."""
        return self.load(model) or self.record.model(model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A node whose record went away, as it was last; ``since``: monotonic seconds."""

    record: NodeRecord
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """A process's own live snapshot of all records. ``unreadable``: keys that hold something else
    than they should, and why that is no use. ``gone``: some nodes that left lately, the last one
    last."""

    nodes: dict[NodeId, NodeView] = field(default_factory=dict)
    orchestrators: dict[OrchestratorId, OrchestratorRecord] = field(default_factory=dict)
    revision: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    gone: dict[NodeId, Gone] = field(default_factory=dict)

    def models(self) -> Iterator[ModelRecord]:
        """Of all nodes, in whatever state; a model that several host comes once for each."""
        for node in self.nodes.values():
            yield from node.record.models

    def name(self, node: NodeId) -> str:
        """What its owner calls it; its id where it is not there."""
        found = self.nodes.get(node)
        return found.record.name if found is not None else node

    def model(self, node: NodeId, model: ModelId) -> ModelRecord | None:
        """None: the node is not there, or hosts no such model."""
        found = self.nodes.get(node)
        return found.record.model(model) if found is not None else None


def rules_version(content: bytes) -> str:
    """First 12 hex digits of SHA-256: enough to tell any two rule files of a fleet apart."""
    return hashlib.sha256(content).hexdigest()[:12]


def encode_record(record: NodeRecord | OrchestratorRecord, *, indent: int = 2) -> bytes:
    """JSON, indented so that ``etcdctl get`` reads well; 0: on one line."""
    data = msgspec.json.encode(record)
    return msgspec.json.format(data, indent=indent) if indent else data


def decode_node(data: bytes) -> NodeRecord:
    """Raises ``ProtocolError`` naming the bad field."""
    record = border.read(data, NodeRecord, "a node record")
    border.check_address(record.endpoint)
    border.check_address(record.direct_endpoint)
    if len({model.id for model in record.models}) < len(record.models):
        raise ProtocolError("not a node record: two models of one id")
    return record


def decode_orchestrator(data: bytes) -> OrchestratorRecord:
    """Raises ``ProtocolError`` naming the bad field."""
    record = border.read(data, OrchestratorRecord, "an orchestrator record")
    border.check_address(record.endpoint)
    return record

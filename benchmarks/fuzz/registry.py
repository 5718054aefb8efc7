"""Values of the registry: records of nodes and orchestrators, who holds a key, the rules. What is a
record must also go through all that is done with one: ranking, the listing, and back."""

from __future__ import annotations

from dataclasses import replace

from mesh.errors import ProtocolError
from mesh.fleet import view as change
from mesh.fleet.placement import rank
from mesh.fleet.records import (
    Cpu,
    FleetView,
    Gpu,
    Memory,
    ModelCounts,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    OrchestratorRecord,
    decode_node,
    decode_orchestrator,
    encode_record,
)
from mesh.fleet.work import Work
from mesh.protobuf.fleet import fleet_from_wire, fleet_to_wire
from mesh.registry.announcements import holder_of
from mesh.registry.base import NODES, ORCHESTRATORS, Put
from mesh.types import ModelId, NodeId, OrchestratorId, Specialty
from orchestrator.router.rule_file import read

_GPU = Gpu(
    uuid="GPU-1",
    name="NVIDIA GeForce RTX 4070",
    index=0,
    total_bytes=12 * 2**30,
    used_bytes=2**30,
    free_bytes=11 * 2**30,
    temperature_c=54.0,
    power_w=120.5,
    utilisation=0.93,
    compute_capability="8.9",
    throttled="hot",
    throttled_to=0.8,
    dtypes=("bf16", "f16"),
)
_MODEL = ModelRecord(
    id=ModelId("qwen2.5-7b"),
    engine="llama_cpp",
    specialties=(Specialty("chat"), Specialty("code")),
    state=ModelState.RESIDENT,
    slots=4,
    used_slots=1,
    context_length=8192,
    device="GPU-1",
    file="/models/qwen.gguf",
    file_bytes=4 * 2**30,
    parameters=7_600_000_000,
    ttl_s=600.0,
    prefill_tps=1200.0,
    decode_tps=48.0,
    decode_tps_half=80.0,
    decode_tps_full=130.0,
    input_price=0.25,
    counts=ModelCounts(sequences=10, prompt_tokens=1000),
)
_NODE = NodeRecord(
    id=NodeId("node-0123456789abcdef"),
    instance="aa00",
    name="desktop",
    host="box",
    pid=4711,
    state=NodeState.READY,
    reason="",
    endpoint="tcp://127.0.0.1:7801",
    direct_endpoint="127.0.0.1:7802",
    specialties=(Specialty("chat"), Specialty("code")),
    models=(_MODEL, replace(_MODEL, id=ModelId("tiny"), state=ModelState.COLD, device="cpu")),
    gpus=(_GPU,),
    accelerator="1 GPU",
    cpu=Cpu(name="a CPU", physical_cores=8, logical_cores=16, load=0.5),
    memory=Memory(total_bytes=2**35, available_bytes=2**34),
    version="0.1.0",
    started_at=1.7e9,
    updated_at=1.7e9,
)
_ORCHESTRATOR = OrchestratorRecord(
    id=OrchestratorId("orch-0123456789abcdef"),
    instance="bb00",
    name="front",
    host="box",
    pid=4712,
    endpoint="127.0.0.1:7700",
    rules_version="0123456789ab",
    fallback="chat",
    ticket_key="A" * 43,
    started_at=1.7e9,
)
_RULES = b"""fallback = "chat"
threshold = 0.6
[[rules]]
name = "sum"
specialty = "math"
pattern = '''\\bsum of\\b'''
weight = 0.9
excludes = ["poem"]
[[rules]]
name = "poem"
patterns = ["poem", "verse"]
"""

SEEDS: tuple[bytes, ...] = (
    encode_record(_NODE),
    encode_record(_NODE, indent=0),
    encode_record(_ORCHESTRATOR),
    _RULES,
    b"x",
    b"[" * 6_000,
)
EXPECTED: tuple[type[Exception], ...] = (ProtocolError,)


_WORK = Work(specialty=Specialty("chat"), model=None, prompt_bytes=100)


def decode(data: bytes) -> None:
    """Reads it as whatever it may be. Raises ``ProtocolError`` for what is no node record."""
    holder_of(data)
    if b"=" in data:
        read(data)
    view = FleetView()
    for prefix, one in ((NODES, decode_node), (ORCHESTRATORS, decode_orchestrator)):
        try:
            record = one(data)
        except ProtocolError:
            continue
        view, problems = change.apply(view, (Put(f"{prefix}{record.id}", data),), 0.0)
        if problems:
            raise RuntimeError(f"readable alone and not in a view: {problems}")
    for node in view.nodes:
        view = change.link(view, node, True, 1.0)
    ranking = rank(view, _WORK, 2.0)
    ranking.explained()
    listed = fleet_to_wire(view, registry_connected=True, now=2.0, wall=3.0)
    read_again = fleet_from_wire(listed)
    if read_again.unreadable or len(read_again.nodes) != len(view.nodes):
        raise RuntimeError(f"cannot be listed: {read_again.unreadable}")
    if not view.nodes:
        decode_node(data)

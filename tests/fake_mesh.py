"""A mesh for the CLI's tests: the real client protocol (gRPC) with answers that a test scripts."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mesh.embedding import packed
from mesh.fleet.records import (
    Cpu,
    Memory,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    OrchestratorRecord,
    encode_record,
)
from mesh.types import ModelId, NodeId, OrchestratorId, Specialty
from mesh.v1 import mesh_pb2, mesh_pb2_grpc

REQUEST_ID = "0123456789abcdef0123456789abcdef"
TRACE_ID = "fedcba9876543210fedcba9876543210"

STATUS = {
    "invalid_request": grpc.StatusCode.INVALID_ARGUMENT,
    "unknown_specialty": grpc.StatusCode.NOT_FOUND,
    "no_candidate": grpc.StatusCode.UNAVAILABLE,
    "overloaded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "deadline_exceeded": grpc.StatusCode.DEADLINE_EXCEEDED,
    "node_lost": grpc.StatusCode.UNAVAILABLE,
    "internal": grpc.StatusCode.INTERNAL,
}


@dataclass(frozen=True)
class Broken:
    """Ends the stream or call with this error."""

    code: str
    message: str
    retry_after_s: float | None = None


def decision(**changes: Any) -> mesh_pb2.Decision:
    fields: dict[str, Any] = {
        "specialty": "math",
        "stage": "rules",
        "rule": "word_problem",
        "confidence": 0.97,
        "alternatives": [
            mesh_pb2.Alternative(specialty="math", probability=0.97, rule="word_problem"),
            mesh_pb2.Alternative(specialty="chat", probability=0.02),
        ],
        "verdicts": [
            mesh_pb2.StageVerdict(
                stage="rules",
                specialty="math",
                confidence=0.97,
                rule="word_problem",
                micros=11.0,
            )
        ],
        "rules_version": "abc123def456",
        "micros": 14.0,
        "request_id": REQUEST_ID,
    }
    return mesh_pb2.Decision(**(fields | changes))


def decided(**changes: Any) -> mesh_pb2.GenerateEvent:
    return mesh_pb2.GenerateEvent(decision=decision(**changes))


def assigned(name: str = "math", attempt: int = 1) -> mesh_pb2.GenerateEvent:
    return mesh_pb2.GenerateEvent(
        assigned=mesh_pb2.Assigned(
            node_id=f"node-{name}", node_name=name, model="math", attempt=attempt
        )
    )


def tokens(first: int, *texts: str) -> mesh_pb2.GenerateEvent:
    ids = range(first + 100, first + 100 + len(texts))
    return mesh_pb2.GenerateEvent(tokens=mesh_pb2.Tokens(first=first, ids=ids, texts=texts))


def done(**changes: Any) -> mesh_pb2.GenerateEvent:
    fields: dict[str, Any] = {
        "finish_reason": "stop",
        "node_id": "node-math",
        "node_name": "math",
        "model": "math",
        "prompt_tokens": 12,
        "completion_tokens": 3,
        "ttft_ms": 12.5,
        "tokens_per_second": 240.0,
        "resumed": False,
        "attempts": 1,
        "trace_id": TRACE_ID,
    }
    return mesh_pb2.GenerateEvent(done=mesh_pb2.Done(**(fields | changes)))


def model(name: str = "math", **changes: Any) -> ModelRecord:
    fields: dict[str, Any] = {
        "id": ModelId(name),
        "engine": "llama_cpp",
        "specialties": (Specialty(name),),
        "state": ModelState.RESIDENT,
        "slots": 4,
        "used_slots": 1,
        "context_length": 1024,
        "device": "cpu",
    }
    return ModelRecord(**(fields | changes))


def node(
    name: str = "math", *, age_s: float = 0.2, link_up: bool = True, **changes: Any
) -> mesh_pb2.Node:
    fields: dict[str, Any] = {
        "id": NodeId(f"node-{name}"),
        "instance": "",
        "name": name,
        "host": "box",
        "pid": 4242,
        "state": NodeState.READY,
        "reason": "",
        "specialties": (Specialty(name),),
        "models": (model(name),),
        "accelerator": "no NVIDIA driver on this box: models run on the CPU",
        "cpu": Cpu(name="Some CPU", physical_cores=2, logical_cores=0),
        "memory": Memory(total_bytes=8 * 2**30, available_bytes=5 * 2**30),
        "endpoint": "tcp://127.0.0.1:4000",
    }
    return mesh_pb2.Node(
        record=encode_record(NodeRecord(**(fields | changes))),
        last_seen=1_700_000_000.0,
        last_seen_age_s=age_s,
        link_up=link_up,
    )


ANSWER = (decided(), assigned(), tokens(0, "It is", " 42"), tokens(2, "."), done())


@dataclass
class FakeMesh(mesh_pb2_grpc.MeshServicer):
    """Answers every call from its script and keeps the requests it saw."""

    answer: tuple[mesh_pb2.GenerateEvent | Broken | threading.Event, ...] = ANSWER
    route: mesh_pb2.RouteResponse | Broken = field(
        default_factory=lambda: mesh_pb2.RouteResponse(
            decision=decision(),
            candidates=[
                mesh_pb2.Candidate(
                    node_id="node-math",
                    node_name="math",
                    model="math",
                    eligible=True,
                    reason="resident, 3 of 4 slots free",
                    score=1.5,
                ),
                mesh_pb2.Candidate(
                    node_id="node-chat",
                    node_name="chat",
                    model="chat",
                    eligible=False,
                    reason="does not serve 'math'",
                ),
            ],
        )
    )
    fleet: mesh_pb2.FleetResponse = field(
        default_factory=lambda: mesh_pb2.FleetResponse(
            nodes=[node("math"), node("code")],
            orchestrators=[
                mesh_pb2.Orchestrator(
                    record=encode_record(
                        OrchestratorRecord(
                            id=OrchestratorId("orchestrator-1"),
                            instance="",
                            name="orchestrator",
                            host="box",
                            pid=4243,
                            endpoint="127.0.0.1:7700",
                            rules_version="abc123def456",
                            fallback="chat",
                        )
                    )
                )
            ],
            registry_connected=True,
        )
    )
    requests: list[Any] = field(default_factory=list)
    endpoint: str = ""

    def Generate(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self.requests.append(request)
        for each in self.answer:
            if isinstance(each, Broken):
                _abort(context, each)
            elif isinstance(each, threading.Event):
                while not each.wait(0.05) and context.is_active():
                    pass
            else:
                yield each

    def Route(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.requests.append(request)
        if isinstance(self.route, Broken):
            _abort(context, self.route)
        return self.route

    def RouteBatch(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """The scripted route for each prompt; a failure for one that says so."""
        self.requests.append(request)
        for index, prompt in enumerate(request.prompts):
            text = prompt.messages[-1].content
            if isinstance(self.route, Broken) or "fail" in text:
                broken = mesh_pb2.Failure(code="invalid_request", message=f"cannot: {text}")
                yield mesh_pb2.RouteBatchResponse(index=index, failure=broken)
            else:
                yield mesh_pb2.RouteBatchResponse(index=index, route=self.route)

    def Embed(self, request: Any, context: grpc.ServicerContext) -> Any:
        """For each text as many as it has letters "a" by as many as it has letters "b", scaled."""
        self.requests.append(request)
        rows = []
        for text in request.texts:
            if "fail" in text:
                _abort(context, Broken("no_candidate", "nobody embeds"))
            row = [float(text.count("a")), float(text.count("b"))]
            length = math.hypot(*row) or 1.0
            rows.append(packed([number / length for number in row]))
        return mesh_pb2.EmbedResponse(
            vectors=b"".join(rows),
            dimension=2,
            node_id="node-a",
            node_name="a" if request.model else "first",
            model="mini",
            prompt_tokens=len(request.texts),
            attempts=1,
            total_ms=4.2,
            trace_id=TRACE_ID,
        )

    def Fleet(self, request: Any, context: grpc.ServicerContext) -> Any:
        return self.fleet


def _abort(context: grpc.ServicerContext, broken: Broken) -> None:
    trailer = [("mesh-error-code", broken.code), ("mesh-request-id", REQUEST_ID)]
    if broken.retry_after_s is not None:
        trailer.append(("mesh-retry-after-s", str(broken.retry_after_s)))
    context.set_trailing_metadata(tuple(trailer))
    context.abort(STATUS[broken.code], broken.message)


@contextmanager
def serving(mesh: FakeMesh, endpoint: str = "127.0.0.1:0") -> Iterator[FakeMesh]:
    """The mesh on a free loopback port, ``mesh.endpoint``, or on this one."""
    server = grpc.server(ThreadPoolExecutor(max_workers=8))
    mesh_pb2_grpc.add_MeshServicer_to_server(mesh, server)
    checks = health.HealthServicer()
    checks.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    mesh.endpoint = f"127.0.0.1:{server.add_insecure_port(endpoint)}"
    server.start()
    try:
        yield mesh
    finally:
        server.stop(grace=None).wait()

"""The client plane's messages, as an orchestrator, a node and a client read them.

The first byte says which message the rest is. Whatever it is, it is read into a value, or one error
of ours says what was wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from mesh.embedding import packed
from mesh.errors import InvalidRequest, ProtocolError
from mesh.protobuf.direct import grant_from_wire
from mesh.protobuf.embed import embed_request_from_wire, embeddings_from_wire
from mesh.protobuf.events import event_from_wire
from mesh.protobuf.fleet import fleet_from_wire
from mesh.protobuf.request import request_from_wire
from mesh.protobuf.route import route_from_wire, route_request_from_wire
from mesh.types import RequestId
from mesh.v1 import mesh_pb2 as pb
from mesh.validation import check_continuation, check_messages, check_request, check_texts

_FRESH = RequestId("0" * 32)


def _generate(wire: Any) -> None:
    request = request_from_wire(wire, fresh_id=_FRESH)
    check_request(request.messages, request.sampling, timeout_s=request.timeout_s)
    if request.continuation is not None:
        check_continuation(request.continuation, request.sampling)


def _route(wire: Any) -> None:
    check_messages(route_request_from_wire(wire, fresh_id=_FRESH).messages)


def _batch(wire: Any) -> None:
    for prompt in wire.prompts:
        _route(prompt)


def _embed(wire: Any) -> None:
    check_texts(embed_request_from_wire(wire, fresh_id=_FRESH).texts)


def _direct(wire: Any) -> None:
    _generate(wire.request)


def _routed(wire: Any) -> None:
    route_from_wire(wire)
    grant_from_wire(wire)


def _embeddings(wire: Any) -> None:
    embeddings_from_wire(wire, texts=1)


READERS: tuple[tuple[Any, Callable[[Any], object]], ...] = (
    (pb.GenerateRequest, _generate),
    (pb.RouteRequest, _route),
    (pb.RouteBatchRequest, _batch),
    (pb.EmbedRequest, _embed),
    (pb.DirectRequest, _direct),
    (pb.Taken, lambda wire: (wire.answer, wire.pieces)),
    (pb.GenerateEvent, event_from_wire),
    (pb.RouteResponse, _routed),
    (pb.EmbedResponse, _embeddings),
    (pb.FleetResponse, fleet_from_wire),
)


def decode(data: bytes) -> None:
    kind, read = READERS[data[0] % len(READERS)] if data else READERS[0]
    read(kind.FromString(data[1:]))


EXPECTED: tuple[type[Exception], ...] = (DecodeError, InvalidRequest, ProtocolError)

_MESSAGES = [
    pb.Message(role="system", content="be brief"),
    pb.Message(role="user", parts=[pb.Part(text="what is it?")]),
    pb.Message(
        role="assistant",
        parts=[pb.Part(tool_call=pb.ToolCall(id="a", name="add", arguments='{"x": [1, 2]}'))],
    ),
    pb.Message(role="tool", parts=[pb.Part(tool_result=pb.ToolResult(call_id="a", text="3"))]),
    pb.Message(
        role="user",
        parts=[
            pb.Part(image=pb.Image(media_type="image/png", data=b"\x89PNG")),
            pb.Part(image=pb.Image(url="https://host.example/a.png")),
        ],
    ),
]
_GENERATE = pb.GenerateRequest(
    messages=_MESSAGES,
    sampling=pb.Sampling(
        max_tokens=20,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        repetition_penalty=1.1,
        seed=1,
        stop=["\n"],
        json_schema='{"type": "object"}',
    ),
    specialty="math",
    timeout_s=2.0,
    priority="batch",
    request_id="0" * 32,
    tenant="a",
    continuation=pb.Continuation(
        ids=[1, 2], texts=["a", "b"], tokenizer_hash="tok", attempts=1, specialty="math", model="m"
    ),
)
_DECISION = pb.Decision(
    specialty="math",
    stage="rules",
    confidence=0.9,
    alternatives=[pb.Alternative(specialty="chat", probability=0.1)],
    verdicts=[pb.StageVerdict(stage="rules", specialty="math", confidence=0.9)],
    request_id="0" * 32,
)
_SEEDS: tuple[Any, ...] = (
    _GENERATE,
    pb.RouteRequest(messages=_MESSAGES, specialty="math", want_ticket=True),
    pb.RouteBatchRequest(prompts=[pb.RouteRequest(messages=_MESSAGES)] * 2),
    pb.EmbedRequest(texts=["a", "b"], model="mini", timeout_s=1.0),
    pb.DirectRequest(ticket="a.b", request=_GENERATE),
    pb.Taken(answer="0" * 32, pieces=64),
    pb.GenerateEvent(decision=_DECISION),
    pb.GenerateEvent(assigned=pb.Assigned(node_id="n", node_name="n", model="m", attempt=1)),
    pb.GenerateEvent(progress=pb.Progress(phase="prefilling", done=1, total=2)),
    pb.GenerateEvent(tokens=pb.Tokens(first=0, ids=[1, 2], texts=["a", "b"])),
    pb.GenerateEvent(
        done=pb.Done(
            finish_reason="stop",
            node_id="n",
            completion_tokens=2,
            resumes=[pb.Resume(from_node="a", to_node="b", at_token=1, gap_ms=2.0)],
        )
    ),
    pb.RouteResponse(
        decision=_DECISION,
        candidates=[pb.Candidate(node_id="n", node_name="n", model="m", eligible=True)],
        ticket=pb.Ticket(token="a.b", node_id="n", endpoint="127.0.0.1:1", lifetime_s=1.0),
        ready=pb.Ready(source="exact", text="4", finish_reason="stop"),
    ),
    pb.EmbedResponse(vectors=packed([0.6, 0.8]), dimension=2, node_id="n", prompt_tokens=1),
    pb.FleetResponse(
        nodes=[pb.Node(record=b'{"id": "n"}', last_seen_age_s=0.1, link_up=True)],
        orchestrators=[pb.Orchestrator(record=b"{}")],
        registry_connected=True,
    ),
)
_NUMBERS = {kind.DESCRIPTOR.full_name: number for number, (kind, _) in enumerate(READERS)}
SEEDS: tuple[bytes, ...] = tuple(
    bytes([_NUMBERS[seed.DESCRIPTOR.full_name]]) + seed.SerializeToString() for seed in _SEEDS
)

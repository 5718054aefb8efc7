"""One request is one trace: client, orchestrator, node and runner, each in its own process, seen by
a collector that speaks OTLP."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc

import mesh
from mesh.errors import MeshError
from tests.etcd import EtcdServer
from tests.mesh.fakes import ROUTER, RULES

START_S = 30.0
CLIENT = """
import asyncio, json, sys
import mesh
from mesh.telemetry import tracing

async def main():
    async with mesh.connect(sys.argv[1]) as client:
        generation = client.generate("What is 17 + 25?", max_tokens=5)
        text = await generation.text()
        print(json.dumps({"text": text, "trace_id": generation.done.trace_id}))

stop = tracing.configure("squadron-client", instance="test", otlp_endpoint=sys.argv[2])
asyncio.run(main())
stop()
"""


class Collector(otlp_grpc.TraceServiceServicer):  # type: ignore[misc]
    """Keeps every span it is sent, with its process's service name and instance."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        self.endpoint = ""

    async def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            attributes = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.append((attributes["service.name"], span))
        return otlp.ExportTraceServiceResponse()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Collector]:
        server = grpc.aio.server()
        otlp_grpc.add_TraceServiceServicer_to_server(self, server)
        self.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    def named(self, service: str, start: str) -> Any:
        """The service's only span whose name starts so, None while there is none."""
        found = [s for name, s in self.spans if name == service and s.name.startswith(start)]
        assert len(found) <= 1, f"{len(found)} spans of {service} start with {start!r}"
        return found[0] if found else None


@asynccontextmanager
async def process(*command: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child that is terminated, and killed if need be, when the block ends."""
    with log.open("wb") as sink:
        child = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=sink, stderr=sink
        )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        try:
            async with asyncio.timeout(15):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()


async def ready(endpoint: str, log: Path, nodes: int = 1) -> None:
    """Returns once so many of the orchestrator's nodes can take work."""
    last = "nothing was tried"
    try:
        async with asyncio.timeout(START_S):
            while True:
                try:
                    async with mesh.connect(endpoint) as client:
                        candidates = (await client.route("1 + 1")).candidates
                        able = [c for c in candidates if c.eligible and "resident" in c.reason]
                        if len(able) >= nodes:
                            return
                        last = f"candidates: {candidates}"
                except MeshError as error:
                    last = error.message
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"not ready: {last}; see {log}") from None


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.processes
@pytest.mark.timeout(120)
async def test_one_request_is_one_trace_over_four_processes(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    endpoint = f"127.0.0.1:{free_port()}"
    async with EtcdServer() as etcd, Collector().serving() as collector:
        common = {
            "state_dir": str(tmp_path),
            "etcd": etcd.endpoint,
            "otlp_endpoint": collector.endpoint,
        }
        model = {
            "source": "simulated",
            "id": "sim",
            "engine": "simulated",
            "specialties": ["math"],
            "options": {"words": 5},
        }
        node = {"name": "one", "models": [model], **common}
        orchestrator = {
            "name": "one",
            "bind": endpoint,
            "rules": str(tmp_path / "rules.toml"),
            "router": ROUTER,
            **common,
        }
        log = tmp_path / "orchestrator.log"
        async with (
            process("-m", "node", json.dumps(node), log=tmp_path / "node.log"),
            process("-m", "orchestrator", json.dumps(orchestrator), log=log),
        ):
            await ready(endpoint, log)
            answer = tmp_path / "client.log"
            async with process("-c", CLIENT, endpoint, collector.endpoint, log=answer) as client:
                async with asyncio.timeout(START_S):
                    assert await client.wait() == 0, answer.read_text()
            said = json.loads(answer.read_text())
            expected = (
                ("squadron-client", "client.generate"),
                ("squadron-orchestrator", "orchestrator.generate"),
                ("squadron-orchestrator", "route"),
                ("squadron-orchestrator", "attempt"),
                ("squadron-node", "attempt"),
                ("squadron-runner", "chat"),
            )
            async with asyncio.timeout(START_S):
                while not all(collector.named(*w) for w in expected):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            spans = [collector.named(*which) for which in expected]
    assert said["text"] == "tok0 tok1 tok2 tok3 tok4 "
    assert {span.trace_id.hex() for span in spans} == {said["trace_id"]}
    root, generate, route, attempt, served, chat = spans
    assert root.parent_span_id == b""
    assert generate.parent_span_id == root.span_id
    assert route.parent_span_id == generate.span_id
    assert attempt.parent_span_id == generate.span_id
    assert served.parent_span_id == attempt.span_id
    assert chat.parent_span_id == served.span_id
    assert len({name for name, _ in collector.spans}) == 4

"""What is fuzzed on the client plane: an orchestrator's real gRPC server, and a node's direct one.
A finding is a line that says what broke."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Self

import grpc

from mesh.clock import Clock
from mesh.protobuf.messages import messages_to_wire
from mesh.protobuf.metadata import ERROR_CODE
from mesh.security.tickets import MAX_LIFETIME_S, Signer, Ticket
from mesh.transport.base import Accepted, Attempt, Finished, Sink, Tokens
from mesh.types import FinishReason, ModelId, OrchestratorId, Piece, Usage
from mesh.v1 import mesh_pb2 as pb
from node.serve.direct import DirectServer
from node.serve.gate import TicketGate
from tests.conversations import TOOLS
from tests.faults.fuzzing import GOOD
from tests.mesh.fakes import Mesh, orchestrator, until
from tests.mesh.scripted import MATH

CALL_S = 15.0
DIRECT = "Direct"
METHODS = {
    "Generate": pb.GenerateRequest,
    "Route": pb.RouteRequest,
    "Fleet": pb.FleetRequest,
    DIRECT: pb.DirectRequest,
}
PATHS = {name: f"/mesh.v1.Mesh/{name}" for name in METHODS} | {DIRECT: "/mesh.v1.Direct/Generate"}
STREAMS = ("Generate", DIRECT)


class Gateway:
    """A whole orchestrator with its real gRPC server, on twins, and a node's direct service beside
    it, in a thread of their own; use it as a context manager. ``ask`` may be called from any other
    thread."""

    def __init__(self) -> None:
        self.endpoint = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="gateway under fire")
        self._channels: dict[str, Any] = {}
        self._direct = ""
        self._ticket = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(30)
        if not self.endpoint:
            raise RuntimeError(f"the gateway did not start: {self._failure!r}")
        orchestrator_channel = grpc.insecure_channel(self.endpoint)
        self._channels = dict.fromkeys(METHODS, orchestrator_channel)
        self._channels[DIRECT] = grpc.insecure_channel(self._direct)
        return self

    def __exit__(self, *exc: object) -> None:
        for channel in self._channels.values():
            channel.close()
        if self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(30)

    def ask(self, method: str, data: bytes) -> str | None:
        """Sends the bytes; a finding when the answer is none that a client should ever get."""
        channel = self._channels[method]
        try:
            if method in STREAMS:
                for answer in channel.unary_stream(PATHS[method])(data, timeout=CALL_S):
                    pb.GenerateEvent.FromString(answer)
            else:
                channel.unary_unary(PATHS[method])(data, timeout=CALL_S)
        except grpc.RpcError as error:
            return _judged(method, data, error)
        return None

    def good(self, method: str) -> Any:
        """A request that is answered; what mutations start from."""
        messages = [
            pb.Message(role="system", content="be brief"),
            *messages_to_wire(TOOLS),
            pb.Message(role="user", content="what is 1 + 1?"),
        ]
        sampling = pb.Sampling(max_tokens=20, temperature=0.5, seed=1, stop=["\n"])
        generate = pb.GenerateRequest(
            messages=messages, sampling=sampling, specialty="math", timeout_s=2.0
        )
        match method:
            case "Generate":
                return generate
            case "Route":
                return pb.RouteRequest(messages=messages)
            case "Fleet":
                return pb.FleetRequest()
            case _:
                return pb.DirectRequest(ticket=self._ticket, request=generate)

    def sound(self) -> str | None:
        """A finding when a good request is not answered in full."""
        for method in STREAMS:
            call = self._channels[method].unary_stream(PATHS[method])
            try:
                answers = list(call(self.good(method).SerializeToString(), timeout=CALL_S))
            except grpc.RpcError as error:
                return f"{method}: a good request met {error!r}"
            kind = pb.GenerateEvent.FromString(answers[-1]).WhichOneof("event")
            if kind != "done":
                return f"{method}: a good request ended with {kind}"
        return None

    def _serve(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the start
            self._failure = error
        finally:
            self._ready.set()

    async def _run(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with Mesh() as mesh:
            await mesh.node("a", slots=8)
            async with orchestrator(mesh, default_timeout_s=5.0) as whole:
                await until(lambda: _serves(whole), "the orchestrator uses the node")
                server = self._door(mesh.clock)
                async with asyncio.TaskGroup() as group:
                    serving = group.create_task(
                        server.run(_answer, lambda node, _: (node, "")), name="direct"
                    )
                    self.endpoint = whole.endpoint
                    self._ready.set()
                    await self._over.wait()
                    serving.cancel()

    def _door(self, clock: Clock) -> DirectServer:
        """A node's direct service, and a ticket to it."""
        signer, issuer = Signer.generate(), OrchestratorId("orch-fuzz")
        gate = TicketGate(GOOD, "instance", lambda: {issuer: signer.public_key}, clock)
        server = DirectServer(gate, clock, bind="127.0.0.1:0")
        server.bind()
        self._direct = server.endpoint
        now = clock.wall()
        self._ticket = signer.sign(
            Ticket(
                id="ab" * 16,
                issuer=issuer,
                node=GOOD,
                instance="instance",
                endpoint=self._direct,
                model=ModelId("toy"),
                specialty=MATH,
                issued_at=now,
                expires_at=now + MAX_LIFETIME_S - 1,
                max_tokens=1_000,
                max_streams=4,
            )
        )
        return server


async def _answer(asked: Attempt, sink: Sink) -> None:
    await sink.send(Accepted(node=GOOD, model=asked.model))
    for index in range(len(asked.delivered), 5):
        await sink.send(Tokens(first=index, pieces=(Piece(id=index, text=f"t{index} "),)))
    usage = Usage(prompt_tokens=1, completion_tokens=5)
    await sink.send(Finished(reason=FinishReason.STOP, usage=usage))


def _serves(whole: Any) -> bool:
    view = whole.fleet.view
    return any(n.link_up and MATH in n.record.specialties for n in view.nodes.values())


def _judged(method: str, data: bytes, error: Any) -> str | None:
    trailers = {str(key): value for key, value in error.trailing_metadata() or ()}
    code = trailers.get(ERROR_CODE)
    status = error.code()
    bad = status in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    if bad or code in (None, "internal"):
        return f"{method}({data!r}): {status.name}, code {code}, '{error.details()}'"
    return None

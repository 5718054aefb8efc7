"""Streams straight to clients that hold a ticket: service ``Direct`` over gRPC, on its own port.

An attempt that comes in here runs through the same handler as an orchestrator's: the same checks,
slots, deadline and trace. Flow is the mesh's own (``mesh/protobuf/flow.py``): a write waits for the
client, and with it the credit that the runner gets back.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import grpc
from opentelemetry.trace import Span, SpanKind

from mesh.budget import Budget
from mesh.clock import Clock
from mesh.errors import (
    BadTicket,
    DeadlineExceeded,
    EngineLost,
    FormExplodes,
    InternalError,
    InvalidRequest,
    from_code,
)
from mesh.manners import settled
from mesh.protobuf.beats import beating
from mesh.protobuf.flow import Flow, Flows
from mesh.protobuf.intake import PLAIN_BYTES, Intake
from mesh.protobuf.request import request_from_wire
from mesh.protobuf.server import guarded, open_server, tolerant, traceparent_of, whole
from mesh.quarantine.marks import marks_of
from mesh.quarantine.quarantine import Quarantine
from mesh.security.tickets import Ticket
from mesh.stream import Assigned, Done, StreamEvent, rate
from mesh.telemetry.tracing import current_traceparent, span, trace_id
from mesh.transport.base import (
    Accepted,
    Attempt,
    AttemptEvent,
    Failed,
    Finished,
    Handler,
    Progress,
    Refused,
    Tokens,
)
from mesh.types import ModelId, NodeId, Request, RequestId
from mesh.v1 import mesh_pb2 as pb
from mesh.validation import MAX_REQUEST_BYTES, check_continuation, check_request
from node.serve.gate import TicketGate

log = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["Direct"].full_name
MAX_CALLS = 256  # at once; more are refused (mesh/doors/calls.py)
LIMIT_BYTES = MAX_REQUEST_BYTES + 1024 * 1024
HELD_BYTES = 96 * 1024 * 1024  # by all requests together, each with six to ten times its size
# A client that reads nothing for so long loses its slot here, and goes on through an orchestrator
# when it reads again.
UNREAD_S = 15.0
DEFAULT_TIMEOUT_S = 120.0  # of a request that names no budget
WRITE_SLACK_S = 1.0  # beyond the request's deadline, for a client that does not read
# Clients may ping this often: so they learn that a stopped node is gone (mesh/client/direct.py).
PING_EVERY_S = 0.25

Describe = Callable[[NodeId, ModelId], tuple[str, str]]


class DirectServer:
    """``bind``: ``host:port``, port 0 picks a free one. ``advertise``: host that clients dial, None
    for the bind host. ``quarantine``: of requests that engines were lost to; None: this server's
    own. ``beside``: services of others on the same port."""

    def __init__(
        self,
        gate: TicketGate,
        clock: Clock,
        *,
        bind: str,
        advertise: str | None = None,
        quarantine: Quarantine | None = None,
        beside: Sequence[grpc.GenericRpcHandler] = (),
    ) -> None:
        self._gate = gate
        self._quarantine = quarantine or Quarantine(clock)
        self._clock = clock
        self._bind = bind
        self._advertise = advertise
        self._describe: Describe = lambda node, model: (node, "")
        self._beside = tuple(beside)
        self._intake = Intake(Budget(HELD_BYTES), limit_bytes=LIMIT_BYTES, who="this node")
        self._flows = Flows(clock, unread_s=UNREAD_S)
        self._server: grpc.aio.Server | None = None
        self._handler: Handler | None = None
        self.endpoint = ""

    def bind(self) -> None:
        """Claims the address; ``endpoint`` is known then. Raises ``PortInUse``, ``ConfigError``."""
        methods = {
            "Generate": grpc.stream_stream_rpc_method_handler(
                self._generate, response_serializer=None
            ),
            "Acknowledge": grpc.unary_unary_rpc_method_handler(
                self._acknowledge,
                request_deserializer=tolerant(pb.Taken),
                response_serializer=pb.Acknowledged.SerializeToString,
            ),
        }
        self._server, address = open_server(
            self._bind,
            [grpc.method_handlers_generic_handler(SERVICE, methods), *self._beside],
            limit_bytes=PLAIN_BYTES,
            max_streams=MAX_CALLS,
            ping_every_s=PING_EVERY_S,
        )
        host, _, port = address.rpartition(":")
        self.endpoint = f"{self._advertise or host}:{port}"

    async def run(self, handler: Handler, describe: Describe) -> None:
        """Serves until cancelled; streams that are open then are cut off. ``describe``: a node's
        name and the hash of its model's tokenizer, for this node and the peers it forwards to."""
        if self._server is None:
            raise InternalError("the direct service runs before it is bound")
        self._handler, self._describe = handler, describe
        try:
            await self._server.start()
            await self._server.wait_for_termination()
        finally:
            await asyncio.shield(self._server.stop(None))

    async def _generate(self, _: Any, context: Any) -> None:
        fresh_id = RequestId(uuid.uuid4().hex)
        await guarded(context, fresh_id, "the node", lambda: self._held(context, fresh_id))

    async def _held(self, context: Any, fresh_id: RequestId) -> None:
        async with self._intake.held(context) as held:
            wire = await held.message(pb.DirectRequest)
            async with beating(context) as beats:
                with self._flows.of(context, beats.write) as flow:
                    await self._stream(wire, context, flow, fresh_id)

    async def _acknowledge(self, wire: Any, context: Any) -> pb.Acknowledged:
        fresh_id = RequestId(uuid.uuid4().hex)
        return await guarded(
            context, fresh_id, "the node", lambda: self._flows.acknowledge(whole(wire))
        )

    async def _stream(self, wire: Any, context: Any, flow: Flow, fresh_id: RequestId) -> None:
        arrived = self._clock.now()
        # The ticket first: who has none learns nothing, not even what a good request would be.
        with self._gate.admit(wire.ticket) as ticket:
            request = request_from_wire(wire.request, fresh_id=fresh_id)
            check(request, ticket)
            self._quarantine.check(lambda: marks_of(request.messages, request.sampling))
            timeout_s = _least(request.timeout_s or DEFAULT_TIMEOUT_S, context.time_remaining())
            with span(
                "direct",
                traceparent=traceparent_of(context),
                kind=SpanKind.SERVER,
                attributes={
                    "gen_ai.operation.name": "chat",
                    "squadron.request.id": request.id,
                    "squadron.ticket.id": ticket.id,
                    "squadron.ticket.issuer": ticket.issuer,
                    "squadron.specialty": ticket.specialty,
                },
            ) as current:
                attempt = _attempt(request, ticket, timeout_s)
                sink = _ContextSink(flow, self._clock, arrived, current, self._describe)
                await self._answer(attempt, sink)

    async def _answer(self, attempt: Attempt, sink: _ContextSink) -> None:
        if self._handler is None:
            raise InternalError("the direct service serves before it runs")
        limit = attempt.timeout_s + WRITE_SLACK_S
        try:
            # When the client is gone, gRPC cancels this task, and with it the handler.
            async with asyncio.timeout(limit) as scope:
                await self._handler(attempt, sink)
        except (EngineLost, FormExplodes) as error:
            told = InvalidRequest(error.message) if isinstance(error, FormExplodes) else error
            marks = marks_of(attempt.messages, attempt.sampling)
            raise self._quarantine.strike(marks, error) or told from error
        except TimeoutError:
            if not scope.expired():
                raise
            raise DeadlineExceeded(
                f"the client did not read its answer within {limit:.1f} s",
                request_id=attempt.request_id,
            ) from None


def check(request: Request, ticket: Ticket) -> None:
    """Whether the ticket covers the request. Raises ``InvalidRequest`` or ``BadTicket``. Pure."""
    check_request(request.messages, request.sampling, timeout_s=request.timeout_s)
    if request.continuation is not None:
        check_continuation(request.continuation, request.sampling)
    most = request.sampling.max_tokens
    if most is not None and most > ticket.max_tokens:
        raise BadTicket(
            f"the ticket allows answers of {ticket.max_tokens} tokens, not of "
            f"{most}; ask for fewer, or through an orchestrator"
        )
    if request.model is not None and request.model != ticket.model:
        raise BadTicket(
            f"the ticket is for model '{ticket.model}', not '{request.model}'; ask an orchestrator "
            "for one"
        )
    if request.specialty is not None and request.specialty != ticket.specialty:
        raise BadTicket(
            f"the ticket is for '{ticket.specialty}', not '{request.specialty}'; ask an "
            "orchestrator for one"
        )


def _attempt(request: Request, ticket: Ticket, timeout_s: float) -> Attempt:
    """Nobody else chose this node just now, so it may look for a better one itself. An answer
    without a limit has the ticket's."""
    if timeout_s <= 0:
        raise DeadlineExceeded("the request's time was up before it arrived", request_id=request.id)
    before = request.continuation
    sampling = settled(request.sampling)
    if sampling.max_tokens is None:
        sampling = replace(sampling, max_tokens=ticket.max_tokens)
    return Attempt(
        request_id=request.id,
        number=1 + (before.attempts if before else 0),
        model=ticket.model,
        messages=request.messages,
        sampling=sampling,
        timeout_s=timeout_s,
        delivered=before.pieces if before else (),
        tokenizer_hash=before.tokenizer_hash if before else "",
        traceparent=current_traceparent(),
        may_forward=True,
        specialty=None if ticket.model_only else ticket.specialty,
    )


class _ContextSink:
    """Attempt events to the client plane's. A refusal or failure is raised: it is a status there.
    ``arrived``: monotonic seconds."""

    def __init__(
        self, flow: Flow, clock: Clock, arrived: float, current: Span, describe: Describe
    ) -> None:
        self._flow = flow
        self._clock = clock
        self._arrived = arrived
        self._span = current
        self._describe = describe
        self._node, self._name, self._model = NodeId(""), "", ModelId("")
        self._first_at: float | None = None
        self._last_at = 0.0
        self._pieces = 0
        self._total = 0

    async def send(self, event: AttemptEvent) -> None:
        """Waits while the client's window is full."""
        match event:
            case Tokens(first=first, pieces=pieces):
                self._last_at = self._clock.now()
                if self._first_at is None:
                    self._first_at = self._last_at
                self._pieces += len(pieces)
                self._total = first + len(pieces)
                await self._write(event)
            case Progress():
                await self._write(event)
            case Accepted(node=node, model=model):
                name, tokenizer = self._describe(node, model)
                self._node, self._name, self._model = node, name, model
                await self._write(
                    Assigned(
                        node=node, node_name=name, model=model, attempt=1, tokenizer_hash=tokenizer
                    )
                )
            case Finished():
                await self._write(self._done(event))
            case Refused(code=code, message=message, retry_after_s=retry_after_s):
                raise from_code(code, message, retry_after_s=retry_after_s)
            case Failed(code=code, message=message):
                raise from_code(code, message)

    async def _write(self, event: StreamEvent) -> None:
        await self._flow.write(event)

    def _done(self, finished: Finished) -> Done:
        first = self._first_at
        spread = self._last_at - first if first is not None else 0.0
        return Done(
            reason=finished.reason,
            node=self._node,
            node_name=self._name,
            model=self._model,
            prompt_tokens=finished.usage.prompt_tokens,
            completion_tokens=self._total,
            cached_tokens=finished.usage.cached_tokens,
            ttft_ms=1000.0 * (first - self._arrived) if first is not None else 0.0,
            tokens_per_second=rate(self._pieces, spread),
            resumed=False,
            attempts=1,
            trace_id=trace_id(self._span),
            queue_ms=0.0,
        )


def _least(timeout_s: float, granted_s: float | None) -> float:
    return timeout_s if granted_s is None else min(timeout_s, granted_s)

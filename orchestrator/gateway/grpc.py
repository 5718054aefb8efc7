"""The client plane over gRPC: ``proto/mesh/v1`` with standard health and reflection."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mesh.budget import Budget
from mesh.clock import Clock, SystemClock
from mesh.errors import DeadlineExceeded, InternalError, InvalidRequest, MeshError
from mesh.protobuf.beats import Beats, beating
from mesh.protobuf.direct import grant_to_wire
from mesh.protobuf.embed import embed_request_from_wire, embeddings_to_wire
from mesh.protobuf.events import event_to_bytes
from mesh.protobuf.fleet import fleet_to_wire
from mesh.protobuf.flow import Flow, Flows
from mesh.protobuf.intake import PLAIN_BYTES, Intake
from mesh.protobuf.request import request_from_wire
from mesh.protobuf.route import MAX_BATCH, route_request_from_wire, route_to_wire, routed_to_wire
from mesh.protobuf.server import guarded, open_server, tolerant, traceparent_of, whole
from mesh.settings.load import NoSettings
from mesh.settings.orchestrator import MAX_HELD_BYTES, OrchestratorSettings
from mesh.spans import span
from mesh.stream import Route, StreamEvent
from mesh.types import Request, RequestId
from mesh.v1 import mesh_pb2 as pb
from orchestrator.api import Api
from orchestrator.gateway.base import GatewaySpec

SERVICE = pb.DESCRIPTOR.services_by_name["Mesh"].full_name
WHO = "the orchestrator"  # in the words of a defect
MAX_STREAMS = 4096  # calls at once; more are refused (mesh/doors/calls.py)
# Room for protobuf's own bytes, and for a refusal that names the prompt's own size.
SIZE_SLACK_BYTES = 1024 * 1024
# Beyond the request's own deadline, which dispatch words better: for a client that does not read.
WRITE_SLACK_S = 1.0
BATCH_S = 600.0  # of a batch of dry runs, whose client may not read either


class GrpcGateway:
    """``bind``: ``host:port``, port 0 picks a free one. ``max_request_bytes``: of a request's
    messages. ``budget``: of what all requests together hold."""

    def __init__(
        self,
        api: Api,
        *,
        bind: str,
        max_request_bytes: int,
        budget: Budget | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._api = api
        self._bind = bind
        self._flows = Flows(clock or SystemClock())
        budget = budget or Budget(MAX_HELD_BYTES)
        self._intake = Intake(
            budget, limit_bytes=max_request_bytes + SIZE_SLACK_BYTES, who="this orchestrator"
        )
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    def bind(self) -> str:
        """Claims the address and returns it as ``host:port``; call it inside the loop. Raises
        ``PortInUse`` or ``ConfigError`` naming it."""
        handlers = grpc.method_handlers_generic_handler(SERVICE, self._handlers())
        server, address = open_server(
            self._bind, (handlers,), limit_bytes=PLAIN_BYTES, max_streams=MAX_STREAMS
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection(
            (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server
        )
        self._server = server
        self._intake.who = address
        return address

    async def run(self) -> None:
        """Serves until cancelled or stopped."""
        if self._server is None:
            raise InternalError("the gateway runs before it is bound")
        try:
            await self._server.start()
            await self._announce(health_pb2.HealthCheckResponse.SERVING)
            await self._server.wait_for_termination()
        finally:
            await asyncio.shield(self._server.stop(None))

    async def stop(self, drain_s: float | None) -> None:
        """Takes nothing new, lets open streams finish for ``drain_s`` seconds (None: not at all),
        and ends the rest. A call with None ends the wait of an earlier one."""
        if self._server is None:
            return
        await self._announce(health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.stop(drain_s)

    async def _announce(self, status: int) -> None:
        for service in ("", SERVICE):
            await self._health.set(service, status)

    def _handlers(self) -> dict[str, Any]:
        return {
            # Streams of requests: a unary call is one of a single message (``Intake``).
            "Generate": grpc.stream_stream_rpc_method_handler(
                self._generate, response_serializer=None
            ),
            "Route": grpc.stream_unary_rpc_method_handler(
                self._route, response_serializer=pb.RouteResponse.SerializeToString
            ),
            "RouteBatch": grpc.stream_stream_rpc_method_handler(
                self._route_batch, response_serializer=pb.RouteBatchResponse.SerializeToString
            ),
            "Embed": grpc.stream_unary_rpc_method_handler(
                self._embed, response_serializer=pb.EmbedResponse.SerializeToString
            ),
            "Acknowledge": grpc.unary_unary_rpc_method_handler(
                self._acknowledge,
                request_deserializer=tolerant(pb.Taken),
                response_serializer=pb.Acknowledged.SerializeToString,
            ),
            "Fleet": grpc.unary_unary_rpc_method_handler(
                self._fleet,
                request_deserializer=tolerant(pb.FleetRequest),
                response_serializer=pb.FleetResponse.SerializeToString,
            ),
        }

    async def _generate(self, _: Any, context: Any) -> None:
        request_id = _fresh_id()
        await guarded(context, request_id, WHO, lambda: self._stream(context, request_id))

    async def _stream(self, context: Any, fresh_id: RequestId) -> None:
        async with self._intake.held(context) as held:
            message = await held.message(pb.GenerateRequest)
            request = request_from_wire(message, fresh_id=fresh_id)
            del message  # as large as the request itself
            async with beating(context) as beats:
                with self._flows.of(context, beats.write) as flow:
                    await self._answered(request, context, beats, flow)

    async def _answered(self, request: Request, context: Any, beats: Beats, flow: Flow) -> None:
        ask = self._api.ask(
            request, granted_s=context.time_remaining(), traceparent=traceparent_of(context)
        )
        events = self._api.generate(ask)
        timeout_s = max(0.0, ask.deadline - ask.arrived) + WRITE_SLACK_S
        try:
            # When the client is gone, gRPC cancels this task; closing the events then frees the
            # node's slot. Each write waits for the wire, and with it credit.
            async with asyncio.timeout(timeout_s), aclosing(events):
                decided = event_to_bytes(await anext(events))
                event = await _write_ahead(beats, decided, events)
                while event is not None:
                    await flow.write(event)
                    event = await anext(events, None)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the client did not read its answer within {span(timeout_s)}",
                request_id=request.id,
            ) from None

    async def _route(self, _: Any, context: Any) -> pb.RouteResponse:
        request_id = _fresh_id()

        async def answer() -> pb.RouteResponse:
            async with self._intake.held(context) as held:
                return await routed(await held.message(pb.RouteRequest))

        async def routed(wire: pb.RouteRequest) -> pb.RouteResponse:
            request = route_request_from_wire(wire, fresh_id=request_id)
            if not wire.want_ticket:
                return route_to_wire(await self._api.route(request), request_id)
            route, grant = await self._api.ticket(request, conversation=wire.conversation_id)
            response = route_to_wire(route, request_id)
            match grant:
                case str(why):
                    response.no_ticket = why
                case _:
                    response.ticket.CopyFrom(grant_to_wire(grant))
            return response

        return await guarded(context, request_id, WHO, answer)

    async def _route_batch(self, _: Any, context: Any) -> None:
        async def answer() -> None:
            async with self._intake.held(context) as held:
                await self._routes(await held.message(pb.RouteBatchRequest), context)

        await guarded(context, _fresh_id(), WHO, answer)

    async def _routes(self, wire: pb.RouteBatchRequest, context: Any) -> None:
        """One after the other, so that a batch never takes more of the router than one client."""
        prompts = wire.prompts
        if len(prompts) > MAX_BATCH:
            raise InvalidRequest(
                f"{len(prompts):,} prompts are too many for one call; send at most {MAX_BATCH:,}"
            )
        try:
            async with asyncio.timeout(BATCH_S):
                for index, prompt in enumerate(prompts):
                    request_id = _fresh_id()
                    routed = await self._routed(prompt, request_id, wire.with_candidates)
                    response = routed_to_wire(index, routed, request_id)
                    await context.write(response)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the batch was not decided and read within {BATCH_S:.0f} s; send fewer at a time"
            ) from None

    async def _routed(
        self, prompt: pb.RouteRequest, request_id: RequestId, candidates: bool
    ) -> Route | MeshError:
        try:
            request = route_request_from_wire(prompt, fresh_id=request_id)
            return await self._api.route(request, candidates=candidates)
        except MeshError as error:
            return error

    async def _embed(self, _: Any, context: Any) -> pb.EmbedResponse:
        request_id = _fresh_id()

        async def answer() -> pb.EmbedResponse:
            async with self._intake.held(context) as held:
                message = await held.message(pb.EmbedRequest)
                request = embed_request_from_wire(message, fresh_id=request_id)
                del message
                # When the client is gone, gRPC cancels this task, and that frees the node's slot.
                found = await self._api.embed(
                    request,
                    granted_s=context.time_remaining(),
                    traceparent=traceparent_of(context),
                )
            return embeddings_to_wire(found)

        return await guarded(context, request_id, WHO, answer)

    async def _acknowledge(self, wire: Any, context: Any) -> pb.Acknowledged:
        return await guarded(
            context, _fresh_id(), WHO, lambda: self._flows.acknowledge(whole(wire))
        )

    async def _fleet(self, wire: Any, context: Any) -> pb.FleetResponse:
        async def answer() -> pb.FleetResponse:
            whole(wire)
            seen = self._api.fleet()
            # In a thread: of thousands of nodes it takes longer than a stream should wait.
            return await asyncio.to_thread(
                fleet_to_wire,
                seen.view,
                registry_connected=seen.registry_connected,
                now=seen.now,
                wall=seen.wall,
                registry_shortfall=seen.registry_shortfall,
            )

        return await guarded(context, _fresh_id(), WHO, answer)


async def _write_ahead(
    beats: Beats, decided: bytes, events: AsyncIterator[StreamEvent]
) -> StreamEvent | None:
    """Writes the decision, and meanwhile has a node asked; returns the event after it."""
    failure: MeshError | None = None
    event: StreamEvent | None = None
    async with asyncio.TaskGroup() as group:
        group.create_task(beats.write(decided))
        try:
            event = await anext(events, None)
        except MeshError as error:
            failure = error
    if failure is None:
        return event
    try:
        raise failure
    finally:
        del failure  # else this frame and the error keep each other, and with them the request


def _fresh_id() -> RequestId:
    return RequestId(uuid.uuid4().hex)


def _make(api: Api, settings: OrchestratorSettings, _: NoSettings) -> GrpcGateway:
    return GrpcGateway(
        api,
        bind=settings.bind,
        max_request_bytes=settings.max_request_bytes,
        budget=Budget(settings.max_held_bytes),
    )


GATEWAY = GatewaySpec(make=_make)

"""Dry runs in bulk: many prompts, a few calls, results in the order of the prompts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator

import grpc

from mesh.client import wire
from mesh.client.contacts import Contact, Contacts
from mesh.client.sending import MESH, answered
from mesh.errors import InvalidRequest, MeshError
from mesh.protobuf.intake import SMALL_BYTES
from mesh.protobuf.route import batch_to_wire, route_request_to_wire, routed_from_wire
from mesh.stream import Route
from mesh.types import Request
from mesh.v1 import mesh_pb2 as pb

CALL_TIMEOUT_S = 10.0  # of a call; in a batch, beside what its prompts may take
PROMPT_TIMEOUT_S = 3.0  # the slowest stages are given about two seconds each
# Of one call. Small enough that the first results come soon, and that an orchestrator which takes
# requests of a few MiB takes it; a prompt larger than that travels alone.
MOST_PROMPTS = 100
MOST_BYTES = SMALL_BYTES

Asked = pb.RouteRequest | MeshError


async def route_all(
    requests: Iterable[Request | MeshError], contacts: Contacts, *, candidates: bool
) -> AsyncIterator[Route | MeshError]:
    """One result for each of ``requests``, in order; a request that is an error already is its own
    result. Raises ``Unreachable``, and what is wrong with a whole call."""
    for calls in _calls(requests):
        done = 0
        # Nothing was changed by what was asked, so that the rest may be asked elsewhere.
        for turn in contacts.in_turn(wire.connection_lost):
            with turn as contact:
                try:
                    async for routed in _call(contact, calls[done:], candidates):
                        done += 1
                        yield routed
                except grpc.aio.AioRpcError as error:
                    failure = wire.translated(error, contact.endpoint)
                    if not isinstance(failure, InvalidRequest) or len(calls) - done > 1:
                        raise
                    yield failure  # only this prompt's, and not the rest's
                break
        else:
            raise contacts.nobody()


async def _call(
    contact: Contact, asked: list[Asked], candidates: bool
) -> AsyncIterator[Route | MeshError]:
    requests = [each for each in asked if not isinstance(each, MeshError)]
    results: AsyncIterator[pb.RouteBatchResponse] | None = None
    if requests:
        results = aiter(
            answered(
                contact.channel,
                contact.stub,
                MESH + "RouteBatch",
                batch_to_wire(requests, candidates=candidates),
                CALL_TIMEOUT_S + PROMPT_TIMEOUT_S * len(requests),
                (),
            )
        )
    for each in asked:
        if isinstance(each, MeshError) or results is None:
            yield each if isinstance(each, MeshError) else _unanswered()
            continue
        found = await anext(results, None)
        yield routed_from_wire(found) if found is not None else _unanswered()


def _unanswered() -> MeshError:
    return InvalidRequest("the orchestrator gave this prompt no result; upgrade it")


def _calls(requests: Iterable[Request | MeshError]) -> Iterator[list[Asked]]:
    """Consecutive requests, as many as go into one call."""
    call: list[Asked] = []
    size = 0
    for request in requests:
        asked = _to_wire(request)
        more = 0 if isinstance(asked, MeshError) else asked.ByteSize()
        if call and (len(call) >= MOST_PROMPTS or size + more > MOST_BYTES):
            yield call
            call, size = [], 0
        call.append(asked)
        size += more
    if call:
        yield call


def _to_wire(request: Request | MeshError) -> Asked:
    if isinstance(request, MeshError):
        return request
    try:
        return route_request_to_wire(request)
    except InvalidRequest as error:
        return error

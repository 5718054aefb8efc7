"""What a call sends: its request, in chunks where it is large, and how far its reader is."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc

from mesh.clock import Clock
from mesh.protobuf.flow import WINDOW_PIECES
from mesh.protobuf.intake import SMALL_BYTES
from mesh.protobuf.metadata import ACKNOWLEDGES, GO_AHEAD, REQUEST_BYTES
from mesh.v1 import mesh_pb2 as pb

CHUNK_BYTES = 128 * 1024
STEP_PIECES = WINDOW_PIECES // 4  # between two words of how far the reader is
PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)  # after each such word that found no place
ACKNOWLEDGE_S = 5.0  # for one such word

MESH = f"/{pb.DESCRIPTOR.services_by_name['Mesh'].full_name}/"
DIRECT = f"/{pb.DESCRIPTOR.services_by_name['Direct'].full_name}/"

Metadata = Sequence[tuple[str, str]]

_ANSWERS: dict[str, Any] = {
    "Generate": pb.GenerateEvent,
    "Route": pb.RouteResponse,
    "RouteBatch": pb.RouteBatchResponse,
    "Embed": pb.EmbedResponse,
    "Fleet": pb.FleetResponse,
}


class Reading:
    """How far one answer was read, as its sender is told: it sends a window beyond that."""

    def __init__(self, stub: Any, clock: Clock) -> None:
        self._stub = stub
        self._clock = clock
        self._name = secrets.token_hex(16)
        self._told = 0
        self._heard = True  # whether there is somebody who wants to know
        self.metadata: Metadata = ((ACKNOWLEDGES, self._name),)

    async def taken(self, pieces: int, timeout_s: float = ACKNOWLEDGE_S) -> None:
        """The reader has so many pieces of the whole answer. Raises what the call raises: an answer
        whose sender cannot be told within ``timeout_s`` seconds is lost."""
        if pieces - self._told < STEP_PIECES or not self._heard:
            return
        taken = pb.Taken(answer=self._name, pieces=pieces)
        for pause_s in (*PAUSES_S, None):
            try:
                await self._stub.Acknowledge(taken, timeout=timeout_s)
                break
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # an older one does not ask
                    self._heard = False
                    return
                if pause_s is None or error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
            await self._clock.sleep(pause_s)  # it has all the calls that it may, for a moment
        self._told = pieces


def answered(
    channel: Any, stub: Any, method: str, message: Any, timeout_s: float, metadata: Metadata
) -> Any:
    """A call of ``method`` (``/service/Method``) whose answers are a stream, however large the
    message is."""
    name = method.rpartition("/")[2]
    if message.ByteSize() <= SMALL_BYTES:
        return getattr(stub, name)(message, timeout=timeout_s, metadata=metadata)
    chunks = _Chunks(message.SerializeToString())
    call = channel.stream_stream(
        method, request_serializer=None, response_deserializer=_ANSWERS[name].FromString
    )
    size = (REQUEST_BYTES, str(len(chunks.data)))
    chunks.call = call(aiter(chunks), timeout=timeout_s, metadata=(*metadata, size))
    return chunks.call


async def asked(contact: Any, method: str, message: Any, timeout_s: float) -> Any:
    """One answer to one message, however large it is."""
    if message.ByteSize() <= SMALL_BYTES:
        return await getattr(contact.stub, method)(message, timeout=timeout_s)
    call = answered(contact.channel, contact.stub, MESH + method, message, timeout_s, ())
    try:
        return await call.read()
    finally:
        call.cancel()


class _Chunks:
    """A large request on its way, once its receiver has room for it. ``call``: that it is sent
    in, set before anything is."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.call: Any = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if all(key != GO_AHEAD for key, _ in await self.call.initial_metadata()):
            # Refused: what is written into a call that has ended would hide why.
            await self.call.code()
            return
        for start in range(0, len(self.data), CHUNK_BYTES):
            if self.call.done():
                return
            yield self.data[start : start + CHUNK_BYTES]

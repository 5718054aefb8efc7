"""How a request comes in over gRPC: read when there is room for it, whole or in chunks.

On the wire a unary call is a stream of one message, so one handler serves both: a client that sends
one message, of at most ``PLAIN_BYTES``, and one that says with ``mesh-request-bytes`` how large its
serialised request is and sends it in chunks of at most that, best once ``mesh-go-ahead`` has come
with the initial metadata. gRPC takes a message in before anybody
is asked, so the limit of one message is low, and a large request is read only once the budget has
room for all of it, few at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from mesh.budget import Budget, Share
from mesh.errors import DeadlineExceeded, InvalidRequest
from mesh.protobuf.metadata import GO_AHEAD, REQUEST_BYTES, said
from mesh.protobuf.server import tolerant, whole

SMALL_BYTES = 256 * 1024  # a larger request goes in chunks
PLAIN_BYTES = SMALL_BYTES + 16 * 1024  # of one message: gRPC refuses more
# What a request weighs while it is answered, by its bytes on the wire: as read, as parsed, as text,
# and as an attempt's frame. One emoji makes Python keep all of its text in four bytes a letter.
WEIGHT = 6
WIDE_WEIGHT = 10
BASE_BYTES = 16 * 1024  # what any call costs beside that
CHUNK_S = 10.0  # in which the next chunk comes
# At which a large request comes on the whole: a chunk of one byte now and then would keep the few
# turns there are from everybody else.
LEAST_BYTES_S = 32 * 1024
LARGE_AT_ONCE = 2  # read and parsed
REST_S_PER_BYTE = 25e-9  # between two that are read in one turn: 0.1 s after one of 4 MB


class Intake:
    """``limit_bytes``: of a serialised request. ``who``: says no, in words; its address, once there
    is one."""

    def __init__(self, budget: Budget, *, limit_bytes: int, who: str) -> None:
        self.who = who
        self._budget = budget
        self._limit = limit_bytes
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    @asynccontextmanager
    async def held(self, context: Any) -> AsyncIterator[Held]:
        """The call's request, which weighs on the budget while the context lasts. Raises
        ``InvalidRequest``, ``Overloaded``."""
        declared = _declared(context)
        if declared is not None and declared > self._limit:
            raise InvalidRequest(
                f"the request is {declared:,} bytes and {self.who} takes at most "
                f"{self._limit:,}; send less, or raise max_request_bytes there"
            )
        large = declared is not None and declared > SMALL_BYTES
        size = PLAIN_BYTES if declared is None else WEIGHT * declared
        share = await self._budget.share(
            BASE_BYTES + size, large=large, within_s=context.time_remaining()
        )
        with share:
            yield Held(context, share, declared, self._large if large else None)


class Held:
    """A request as it comes in."""

    def __init__(
        self, context: Any, share: Share, declared: int | None, turn: asyncio.Semaphore | None
    ) -> None:
        self._context = context
        self._share = share
        self._declared = declared
        self._turn = turn

    async def message(self, kind: Any) -> Any:
        """The message, which is the caller's alone from then on. Raises ``InvalidRequest``,
        ``DeadlineExceeded``."""
        if self._turn is None:
            return self._parsed(kind, await self._read())
        await self._turn.acquire()
        try:
            return self._parsed(kind, await self._read())
        finally:
            # What comes after the reading holds the loop as well, and others are served meanwhile.
            rest_s = REST_S_PER_BYTE * (self._declared or 0)
            asyncio.get_running_loop().call_later(rest_s, self._turn.release)

    async def _read(self) -> bytes:
        if self._declared is None:
            return await self._chunk()
        limit_s = CHUNK_S + self._declared / LEAST_BYTES_S
        try:
            async with asyncio.timeout(limit_s):
                return await self._chunks(self._declared)
        except TimeoutError:
            raise DeadlineExceeded(
                f"the request did not come within {limit_s:.0f} s, and others wait to send theirs; "
                "send it faster, or less"
            ) from None

    async def _chunks(self, declared: int) -> bytes:
        await self._context.send_initial_metadata(((GO_AHEAD, "1"),))
        chunks: list[bytes] = []
        size = 0
        while size < declared:
            chunk = await self._chunk()
            size += len(chunk)
            if not chunk or size > declared:
                raise InvalidRequest(
                    f"{size:,} bytes of the request came, where {REQUEST_BYTES} said {declared:,}"
                )
            chunks.append(chunk)
        return b"".join(chunks)

    async def _chunk(self) -> bytes:
        """Raises ``InvalidRequest`` where the client has ended before it."""
        try:
            async with asyncio.timeout(CHUNK_S):
                chunk = await self._context.read()
        except TimeoutError:
            raise DeadlineExceeded(
                f"nothing of the request came for {CHUNK_S:.0f} s; send it with the call"
            ) from None
        if chunk is grpc.aio.EOF:
            raise InvalidRequest("the call ended before its request was there")
        return bytes(chunk)

    def _parsed(self, kind: Any, data: bytes) -> Any:
        weight = WEIGHT if data.isascii() else WIDE_WEIGHT
        self._share.settle(BASE_BYTES + weight * len(data))
        return whole(tolerant(kind)(data))


def _declared(context: Any) -> int | None:
    """Bytes of the whole request, None where the client does not say. Raises ``InvalidRequest``."""
    size = said(context, REQUEST_BYTES)
    if size is None:
        return None
    if not (size.isascii() and size.isdigit() and len(size) <= 12):
        raise InvalidRequest(f"{REQUEST_BYTES} must be the request's size in bytes")
    return int(size)

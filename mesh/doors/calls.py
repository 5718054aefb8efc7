"""Who may have how many gRPC calls at once, at every server of the mesh.

gRPC knows one limit for all, and calls that say nothing fill it for everybody. So a call is counted
for its origin, and one that has not sent its request yet only waits: not for ever, and where many
of one origin do, the oldest make way for a newcomer.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from mesh.doors.origin import Origin, of_grpc
from mesh.errors import DeadlineExceeded, InvalidRequest, MeshError, Overloaded
from mesh.protobuf.metadata import REQUEST_BYTES, said

REQUEST_S = 30.0  # for a whole request to arrive, and between two messages of a stream of them
YOUNG_S = 1.0  # a call that waits no longer than that is not made to leave
RETRY_AFTER_S = 1.0

Refuse = Callable[[Any, MeshError], Awaitable[None]]  # ends a call (its context) with the error


class Calls(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """``most``: calls at once; one origin has at most half of them, and of those few may go on
    without having sent their request for longer than ``YOUNG_S``."""

    def __init__(self, most: int, refuse: Refuse) -> None:
        self._most = most
        self._of_one = max(1, most // 2)
        self._silent = max(1, self._of_one // 32)
        self._refuse = refuse
        self._open: Counter[Origin] = Counter()
        self._waiting: dict[Origin, dict[_Call, asyncio.Timeout]] = {}  # oldest first

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: Any
    ) -> Any:
        found = await continuation(details)
        if found is None:
            return None
        inner = found.unary_unary or found.unary_stream or found.stream_unary or found.stream_stream
        behaviour = self._yielding if inspect.isasyncgenfunction(inner) else self._answering
        make = (
            grpc.stream_stream_rpc_method_handler
            if found.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return make(
            behaviour(inner, streams=found.request_streaming),
            request_deserializer=found.request_deserializer,
            response_serializer=found.response_serializer,
        )

    def _answering(self, inner: Callable[[Any, Any], Awaitable[Any]], *, streams: bool) -> Any:
        async def answer(requests: AsyncIterator[Any], context: Any) -> Any:
            try:
                with self._counted(context) as call:
                    if not streams:
                        return await inner(await self._one(requests, call), context)
                    async with self._awaited(call):
                        if _announced(context):
                            self._heard(call)
                        heard = _Heard(context, lambda: self._heard(call))
                        return await inner(heard.each(requests), heard)
            except _Refused as refused:
                await self._refuse(context, refused.error)

        return answer

    def _yielding(self, inner: Callable[[Any, Any], AsyncIterator[Any]], *, streams: bool) -> Any:
        async def answer(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            try:
                with self._counted(context) as call:
                    heard = _Heard(context, lambda: self._heard(call))
                    asked = heard.each(requests) if streams else await self._one(requests, call)
                    async for response in inner(asked, context):
                        yield response
            except _Refused as refused:
                await self._refuse(context, refused.error)

        return answer

    @contextmanager
    def _counted(self, context: Any) -> Iterator[_Call]:
        call = _Call(of_grpc(context.peer()), asyncio.get_running_loop().time())
        self._make_way(call)
        if self._open[call.origin] >= self._of_one:
            raise _Refused(_full("your address has", self._of_one))
        if self._open.total() >= self._most:
            raise _Refused(_full("all clients together have", self._most))
        self._open[call.origin] += 1
        call.counted = True
        try:
            yield call
        finally:
            self._uncount(call)

    def _uncount(self, call: _Call) -> None:
        if call.counted:
            call.counted = False
            self._open[call.origin] -= 1
            if not self._open[call.origin]:
                del self._open[call.origin]

    async def _one(self, requests: AsyncIterator[Any], call: _Call) -> Any:
        """The one request of a call."""
        try:
            async with self._awaited(call, REQUEST_S):
                request = await anext(requests)
                self._heard(call)
                return request
        except StopAsyncIteration:
            raise _Refused(InvalidRequest("the call ended before its request came")) from None

    @asynccontextmanager
    async def _awaited(self, call: _Call, within_s: float | None = None) -> AsyncIterator[None]:
        """Its request is to come: ``_heard`` says that it did. Until then it may have to leave."""
        try:
            async with asyncio.timeout(within_s) as scope:
                self._waiting.setdefault(call.origin, {})[call] = scope
                try:
                    yield
                finally:
                    self._heard(call)
        except TimeoutError:
            if not scope.expired():
                raise
            waited = asyncio.get_running_loop().time() - call.since
            raise _Refused(
                DeadlineExceeded(f"the request did not arrive within {waited:.1f} s")
            ) from None

    def _heard(self, call: _Call) -> None:
        waiting = self._waiting.get(call.origin, {})
        waiting.pop(call, None)
        if not waiting:
            self._waiting.pop(call.origin, None)

    def _make_way(self, newcomer: _Call) -> None:
        """Ends the oldest of its origin that say nothing, while there are too many of them."""
        waiting = self._waiting.get(newcomer.origin, {})
        while len(waiting) >= self._silent:
            oldest, scope = next(iter(waiting.items()))
            if newcomer.since - oldest.since < YOUNG_S:
                return
            del waiting[oldest]
            self._uncount(oldest)  # its place is free from now on
            scope.reschedule(newcomer.since)


def _announced(context: Any) -> bool:
    """Whether the call has said how large its request is: it waits for the word to send it, and
    that wait is not its own (``mesh/protobuf/intake.py``)."""
    return said(context, REQUEST_BYTES) is not None


@dataclass(slots=True, eq=False)
class _Call:
    """``since``: the loop's time of its beginning. ``counted``: it has a place."""

    origin: Origin
    since: float
    counted: bool = False


def _full(who: str, count: int) -> Overloaded:
    return Overloaded(
        f"{who} {count:,} calls open here, which is all there may be; end some, or try again in "
        f"{RETRY_AFTER_S:g} s",
        retry_after_s=RETRY_AFTER_S,
    )


class _Refused(Exception):
    def __init__(self, error: MeshError) -> None:
        super().__init__(error.message)
        self.error = error


class _Heard:
    """A call's context that tells when the first message came."""

    def __init__(self, context: Any, heard: Callable[[], None]) -> None:
        self._context = context
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        message = await self._context.read()
        self._heard()
        return message

    async def each(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """A stream of requests, whose sender does not rest for long."""
        while True:
            try:
                async with asyncio.timeout(REQUEST_S):
                    request = await anext(requests)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise _Refused(
                    DeadlineExceeded(f"nothing more was sent within {REQUEST_S:g} s")
                ) from None
            self._heard()
            yield request

"""What is fuzzed on the data plane: the decoder, a node's listener, a dialer's session, with honest
peers beside the bad one, since those must not notice. A finding is a line that says what broke.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from mesh.clock import Clock
from mesh.errors import ProtocolError
from mesh.fleet.records import PROTOCOL_VERSION
from mesh.settings.timing import Timing
from mesh.transport import frames
from mesh.transport.base import Accepted, Attempt, AttemptStream, Finished, Sink, Tokens
from mesh.transport.frames import FrameType, Hello, Welcome
from mesh.transport.link import FramedLink
from mesh.transport.twin import TwinNetwork, TwinServer
from mesh.types import (
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    RequestId,
    Role,
    Sampling,
    Usage,
)
from tests.faults.mutation import NODE

TIMING = Timing(lease_ttl_s=1, heartbeat_s=0.1, peer_timeout_s=0.6, connect_timeout_s=0.5)
GOOD = NodeId("good")
HELLO = frames.encode(FrameType.HELLO, 0, Hello(protocol=PROTOCOL_VERSION, name="fuzz"))
WELCOME = frames.encode(
    FrameType.WELCOME,
    0,
    Welcome(protocol=PROTOCOL_VERSION, node=NODE, instance="fuzz", heartbeat_s=0.1),
)


def decoding(data: bytes) -> str | None:
    """A finding, should anything but ``ProtocolError`` escape from the decoder."""
    try:
        frames.decode(data)
    except ProtocolError:
        return None
    except BaseException as error:  # noqa: BLE001 - that is the question
        return f"frames.decode({data!r}) raised {error!r}"
    return None


def attempt(number: int = 1, delivered: int = 0) -> Attempt:
    return Attempt(
        request_id=RequestId(f"{number:032x}"),
        number=1,
        model=ModelId("m"),
        messages=(Message.of(Role.USER, "hello"),),
        sampling=Sampling(),
        timeout_s=30.0,
        delivered=tuple(_piece(i) for i in range(delivered)),
    )


def _piece(index: int) -> Piece:
    return Piece(id=index % 2**32, text=f"t{index} ")


class _Errors(logging.Handler):
    """Keeps what is logged as an error: a malformed frame is worth a warning, no more."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"logged: {record.getMessage()} {record.exc_info or ''}")


@contextmanager
def errors_of(*names: str) -> Iterator[list[str]]:
    """What those loggers say at level ERROR; their warnings, one per bad frame, go nowhere."""
    handler = _Errors()
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield handler.lines
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate


class _BadPeer:
    """A dialing end. It listens to nothing."""

    def __init__(self) -> None:
        self.lost = False

    def on_frame(self, frame: bytes) -> None: ...

    def on_writable(self) -> None: ...

    def on_lost(self, reason: str) -> None:
        self.lost = True


class _BadNode:
    """A listening end that greets, and then says what it is told to."""

    def __init__(self, server: TwinServer) -> None:
        self.server = server
        self.peer: bytes | None = None

    def on_peer_frame(self, peer: bytes, frame: bytes) -> None:
        if frame[:1] == bytes([FrameType.HELLO]):
            self.peer = peer
            self.server.send(peer, [WELCOME])

    def on_writable(self) -> None: ...

    def on_disconnect(self) -> None: ...


class DataPlane:
    """A listener and a dialer under fire, over the twin. Meant for moved time (``moved_time.py``).

    ``strike`` has a bad peer say frames to the listener, ``answer`` a bad node to the dialer.
    Beside them an honest link to a good node carries one endless stream, which must go on.
    """

    def __init__(self, clock: Clock) -> None:
        self.findings: list[str] = []
        self.network = TwinNetwork(timing=TIMING, clock=clock, rng=random.Random(1))
        self._clock = clock
        self._listener = self.network.listener(GOOD)
        self._links: list[FramedLink] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._running = 0
        self._expected = 0
        self._struck = 0
        self._stream: AttemptStream | None = None
        self._node = _BadNode(TwinServer(self.network, NODE))

    async def __aenter__(self) -> Self:
        # What escapes from a callback of the wire ends up here, in a log that nobody fails for.
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: self.findings.append(f"a callback raised: {context}")
        )
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._listener.bind()
        self._start(self._listener.run(self._handle))
        self._node.server.bind()
        self._node.server.start(self._node)
        for endpoint, node in ((self._listener.endpoint, GOOD), (self._node.server.endpoint, NODE)):
            link = self.network.dialer("honest").link(
                endpoint, node, lambda _: None, lambda _: None
            )
            self._links.append(link)
            self._start(link.run())
        await self._until(lambda: all(link.up for link in self._links), "the links are up")
        self._stream = self._links[0].open(attempt())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)
        asyncio.get_running_loop().set_exception_handler(None)

    async def strike(self, said: Sequence[bytes], *, greet: bool) -> None:
        """A peer of its own says these frames to the listener, and goes."""
        self._struck += 1
        bad = _BadPeer()
        wire = self.network.servers[self._listener.endpoint].accept(bad)
        for frame in ([HELLO] if greet else []) + list(said):
            if not wire.send([frame]):
                break
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        wire.close()

    async def answer(self, said: Sequence[bytes]) -> None:
        """The bad node says these frames to the dialer, which has a stream open with it."""
        link = self._links[1]
        await self._until(lambda: link.up, "the link to the bad node is up again")
        stream = link.open(attempt(2))
        for frame in said:
            if self._node.peer is None or not link.up:
                break
            self._node.server.send(self._node.peer, [frame])
            await asyncio.sleep(0)
        for _ in range(3):
            await asyncio.sleep(0)
        stream.cancel()

    async def check(self) -> None:
        """The honest stream goes on, nobody's task has ended, nothing of the bad ones is left."""
        if self._stream is None:
            raise RuntimeError("check() belongs inside the context")
        for _ in range(3):
            event = await anext(self._stream)
            if isinstance(event, Tokens):
                if event.first != self._expected:
                    self.findings.append(f"token {event.first}, not {self._expected}")
                self._expected = event.first + len(event.pieces)
                self._stream.grant(len(event.pieces))
        self.findings += [f"a task has ended: {task}" for task in self._tasks if task.done()]
        await self._until(lambda: self._running <= 1, "the bad peers' handlers have ended")

    async def _handle(self, asked: Attempt, sink: Sink) -> None:
        """The honest stream never ends; the others answer ten pieces."""
        self._running += 1
        try:
            await sink.send(Accepted(node=GOOD, model=asked.model))
            index = len(asked.delivered)
            last = index + (10 if self._running > 1 else 2**60)
            while index < last:
                await sink.send(Tokens(first=index, pieces=(_piece(index),)))
                index += 1
            usage = Usage(prompt_tokens=1, completion_tokens=index)
            await sink.send(Finished(reason=FinishReason.STOP, usage=usage))
        finally:
            self._running -= 1

    def _start(self, work: Any) -> None:
        self._tasks.append(self._group.create_task(work))

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(20):
                while not holds():  # noqa: ASYNC110 - in moved time
                    await asyncio.sleep(0.01)
        except TimeoutError:
            self.findings.append(f"did not come true: {what}")

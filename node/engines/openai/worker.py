"""The thread and the loop in which engine ``openai`` talks to its upstream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from mesh.errors import EngineFailed, MeshError, Unreachable
from node.engines.base import ModelSpec
from node.engines.openai.client import Upstream
from node.engines.openai.discovery import Listed
from node.engines.openai.embeddings import Texts
from node.engines.openai.failures import Trouble
from node.engines.openai.options import Access, OpenAiOptions
from node.engines.openai.reading import UpstreamRequest
from node.engines.openai.stream import Stream, Wake

LOAD_S = 60.0  # discovery has its own, shorter limits; this only catches a defect of ours
SIGN_S = 5.0  # between two signs of life while an upstream has not said anything yet

_JOIN_S = 5.0


class Worker:
    """The thread with the loop. Its public methods are for the engine's thread; ``begin`` and
    ``end`` reach the loop in the order in which they were called."""

    def __init__(
        self, spec: ModelSpec, options: OpenAiOptions, opening: Access, wake: Wake
    ) -> None:
        self._spec = spec
        self._options = options
        self._opening = opening
        self._wake = wake
        self._listed: Future[Listed] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._group: asyncio.TaskGroup | None = None
        self._upstream: Upstream | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # at most one a slot
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="upstream", daemon=True)

    def start(self) -> Listed:
        """Raises what discovery does."""
        self._thread.start()
        try:
            return self._listed.result(LOAD_S)
        except TimeoutError:
            raise Unreachable("the upstream did not answer in time; is it stuck?") from None

    def begin(self, stream: Stream, ask: UpstreamRequest | Texts) -> None:
        self.tell(lambda: self._begin(stream, ask))

    def end(self, stream: Stream) -> None:
        """An answer that has come to its end only lets go of its connection, for the next one."""
        self.tell(lambda: stream.task.cancel() if stream.task and not stream.ended else None)

    def tell(self, call: Callable[[], object]) -> None:
        """Runs ``call`` in the loop, soon; nowhere once the loop is closed."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call)

    def check(self) -> None:
        """Raises ``EngineFailed`` when the loop has died."""
        if self._failure is not None:
            raise EngineFailed(f"the engine's own loop broke: {self._failure!r}")

    def close(self) -> None:
        """Ends all requests and the thread."""
        self.tell(lambda: self._stop.set() if self._stop is not None else None)
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - handed to the engine's thread
            self._failure = error
            if not self._listed.done():
                self._listed.set_exception(error)
            self._wake.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        upstream = Upstream(
            self._spec.source, self._options, self._opening, connections=self._spec.slots
        )
        async with upstream:
            self._upstream = upstream
            try:
                listed = await upstream.discover()
            except MeshError as error:
                self._listed.set_exception(error)
                return
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._listed.set_result(listed)
                ticks = group.create_task(self._tick())
                await self._stop.wait()
                self._group = None
                ticks.cancel()
                for task in self._tasks:
                    task.cancel()

    def _begin(self, stream: Stream, ask: UpstreamRequest | Texts) -> None:
        if self._group is None:
            stream.fail(Trouble(EngineFailed("the engine is being unloaded")))
            return
        stream.task = self._group.create_task(self._answer(stream, ask))
        self._tasks.add(stream.task)
        stream.task.add_done_callback(self._tasks.discard)

    async def _answer(self, stream: Stream, ask: UpstreamRequest | Texts) -> None:
        if self._upstream is None:
            return
        try:
            await self._upstream.answer(ask, stream.put)
        except Trouble as trouble:
            stream.fail(trouble)

    async def _tick(self) -> None:
        """Steps look at the clock now and then, also while every upstream is silent."""
        while True:
            await asyncio.sleep(SIGN_S)
            self._wake.set()

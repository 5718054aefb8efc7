"""The synchronous front: the same client, run by an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from typing import Any, TypeVar, Unpack

from mesh.client.answer import Answer
from mesh.client.client import Client, FleetOptions
from mesh.client.connecting import ConnectOptions
from mesh.client.conversation import Conversation
from mesh.client.embed import EmbedOptions
from mesh.client.prompt import Prompt
from mesh.client.request import RequestOptions
from mesh.client.stream import Chunk, EventStream, Generation
from mesh.embedding import Embeddings
from mesh.errors import Cancelled, ConfigError, MeshError
from mesh.settings.addresses import DEFAULT_ENDPOINT
from mesh.stream import Assigned, Done, FleetStatus, NodeStatus, Route, StreamEvent
from mesh.types import Decision, Message, Request, RequestId

T = TypeVar("T")

_CLOSED = "the client is closed; connect another with `with mesh.connect_sync(…)`"
_FORKED = (
    "this process was forked from one whose client this is; connect anew in it, after the fork"
)


class _LoopThread:
    """One event loop in one daemon thread; calls from outside wait for their answer."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._stopping = False
        self._scheduling = threading.Lock()  # nothing is scheduled behind the stop
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="mesh-client", daemon=True)
        self._thread.start()

    @property
    def serves(self) -> bool:
        """Whether anything can still be called."""
        return not self._stopping and os.getpid() == self._pid

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises what the work raises, ``Cancelled`` when the client is closed meanwhile, and
        ``ConfigError`` when it was before, or in a child that was forked."""
        with self._scheduling:
            if not self.serves:
                work.close()
                raise ConfigError(_CLOSED if self._stopping else _FORKED)
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise Cancelled("the client was closed before this came to its end") from None
        except BaseException:
            future.cancel()  # Ctrl-C while waiting: the request must not go on without a reader
            raise

    def stop(self) -> None:
        """What is under way ends as cancelled: nobody waits for a loop that has stopped."""
        with self._scheduling:
            self._stopping = True
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


class SyncGeneration(Iterator[Chunk]):
    """As ``Generation``, for a plain ``for`` loop. Closing it cancels the rest; so does leaving it
    as a context manager."""

    def __init__(self, generation: Generation, thread: _LoopThread) -> None:
        self._generation = generation
        self._thread = thread

    @property
    def request_id(self) -> RequestId:
        return self._generation.request_id

    @property
    def decision(self) -> Decision | None:
        return self._generation.decision

    @property
    def assigned(self) -> Assigned | None:
        return self._generation.assigned

    @property
    def done(self) -> Done | None:
        return self._generation.done

    def __next__(self) -> Chunk:
        chunk = self._thread.call(_after(self._generation))
        if chunk is None:
            raise StopIteration
        return chunk

    def text(self) -> str:
        """What is still to come, joined."""
        return self._thread.call(self._generation.text())

    def close(self) -> None:
        """Cancels what is open; idempotent."""
        if self._thread.serves:
            self._thread.call(self._generation.aclose())

    def __enter__(self) -> SyncGeneration:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class SyncEvents(Iterator[StreamEvent]):
    """As ``EventStream``, for a plain ``for`` loop. Closing it cancels the rest."""

    def __init__(self, events: EventStream, thread: _LoopThread) -> None:
        self._events = events
        self._thread = thread

    @property
    def request(self) -> Request:
        return self._events.request

    def __next__(self) -> StreamEvent:
        event = self._thread.call(_after(self._events))
        if event is None:
            raise StopIteration
        return event

    def close(self) -> None:
        """Cancels what is open; idempotent."""
        if self._thread.serves:
            self._thread.call(self._events.aclose())

    def __enter__(self) -> SyncEvents:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class SyncConversation:
    """As ``Conversation``."""

    def __init__(self, conversation: Conversation, thread: _LoopThread) -> None:
        self._conversation = conversation
        self._thread = thread

    @property
    def id(self) -> str:
        """As ``Conversation.id``."""
        return self._conversation.id

    @property
    def messages(self) -> tuple[Message, ...]:
        """The history so far."""
        return self._conversation.messages

    def generate(self, prompt: str, **options: Unpack[RequestOptions]) -> SyncGeneration:
        """As ``Conversation.generate``."""
        return SyncGeneration(self._conversation.generate(prompt, **options), self._thread)

    def ask(self, prompt: str, **options: Unpack[RequestOptions]) -> Answer:
        """As ``Conversation.ask``."""
        return self._thread.call(self._conversation.ask(prompt, **options))

    def events(self, prompt: str, **options: Unpack[RequestOptions]) -> SyncEvents:
        """As ``Conversation.events``."""
        return SyncEvents(self._conversation.events(prompt, **options), self._thread)


class SyncClient:
    """Made by ``mesh.connect_sync``; use it as a context manager. Methods and errors as in
    ``Client``; threads may share one."""

    def __init__(
        self,
        endpoint: str | Sequence[str] = DEFAULT_ENDPOINT,
        **options: Unpack[ConnectOptions],
    ) -> None:
        self._client = Client(endpoint, **options)
        self._thread: _LoopThread | None = None
        self._closed = False

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Those that it was told."""
        return self._client.endpoints

    @property
    def endpoint(self) -> str:
        """The orchestrator that is asked first now."""
        return self._client.endpoint

    def __enter__(self) -> SyncClient:
        """Raises ``Unreachable`` when no endpoint answers."""
        if self._thread is not None:
            raise ConfigError("the client is connected already; connect another one beside it")
        thread = _LoopThread()
        try:
            thread.call(self._client.__aenter__())
        except BaseException:
            thread.stop()
            raise
        self._thread = thread
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections and ends the thread; open answers end. Idempotent."""
        thread, self._thread = self._thread, None
        self._closed = self._closed or thread is not None
        if thread is not None and thread.serves:
            try:
                thread.call(self._client.aclose())
            finally:
                thread.stop()

    def generate(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> SyncGeneration:
        """As ``Client.generate``."""
        thread = self._running()
        return SyncGeneration(self._client.generate(prompt, **options), thread)

    def ask(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> Answer:
        """As ``Client.ask``."""
        return self._running().call(self._client.ask(prompt, **options))

    def events(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> SyncEvents:
        """As ``Client.events``."""
        thread = self._running()
        return SyncEvents(self._client.events(prompt, **options), thread)

    def conversation(
        self, *, system: str | None = None, **options: Unpack[RequestOptions]
    ) -> SyncConversation:
        """As ``Client.conversation``."""
        thread = self._running()
        return SyncConversation(self._client.conversation(system=system, **options), thread)

    def route(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> Route:
        """As ``Client.route``."""
        return self._running().call(self._client.route(prompt, **options))

    def route_many(
        self,
        prompts: Iterable[Prompt],
        *,
        candidates: bool = False,
        **options: Unpack[RequestOptions],
    ) -> Iterator[Route | MeshError]:
        """As ``Client.route_many``."""
        thread = self._running()
        routes = self._client.route_many(prompts, candidates=candidates, **options)
        return _each(routes, thread)

    def embed(self, texts: Sequence[str] | str, **options: Unpack[EmbedOptions]) -> Embeddings:
        """As ``Client.embed``."""
        return self._running().call(self._client.embed(texts, **options))

    def fleet(self, **options: Unpack[FleetOptions]) -> FleetStatus:
        """As ``Client.fleet``."""
        return self._running().call(self._client.fleet(**options))

    def nodes(self, **options: Unpack[FleetOptions]) -> tuple[NodeStatus, ...]:
        """As ``Client.nodes``."""
        return self._running().call(self._client.nodes(**options))

    def _running(self) -> _LoopThread:
        if self._thread is not None:
            return self._thread
        if self._closed:
            raise ConfigError(_CLOSED)
        raise ConfigError("the client is not connected; use it in `with mesh.connect_sync(…)`")


def connect_sync(
    endpoint: str | Sequence[str] = DEFAULT_ENDPOINT, **options: Unpack[ConnectOptions]
) -> SyncClient:
    """As ``mesh.connect``, for code without an event loop.

    ::

        with mesh.connect_sync() as client:
            print(client.ask("What is 17 + 25?"))
    """
    return SyncClient(endpoint, **options)


def _each(routes: AsyncIterator[T], thread: _LoopThread) -> Iterator[T]:
    while (routed := thread.call(_after(routes))) is not None:
        yield routed


async def _after(events: AsyncIterator[T]) -> T | None:
    """The next one; None: it was the last."""
    return await anext(events, None)

"""Asks the mesh one prompt, shows the answer as it comes, and says what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mesh.cleaned import cleaned
from mesh.cli.chat.saved import STOPPED, Turn
from mesh.clock import Clock
from mesh.errors import MeshError, Unreachable
from mesh.stream import Assigned, Decided, Done, StreamEvent, Tokens, Waiting
from mesh.types import Decision

if TYPE_CHECKING:
    from mesh.client.client import Client


class Shows(Protocol):
    """Where an answer is shown as it comes."""

    def text(self, text: str) -> None: ...

    def mark(self) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(slots=True)
class Outcome:
    """What became of a prompt so far. ``done`` and ``error`` None: it was stopped. ``asked``: Unix
    seconds; ``seconds``: that it took."""

    prompt: str
    asked: float
    seconds: float = 0.0
    parts: list[str] = field(default_factory=list)
    tokens: int = 0
    decision: Decision | None = None
    assigned: Assigned | None = None
    done: Done | None = None
    error: MeshError | None = None

    def note(self, event: StreamEvent) -> None:
        """What an event says of it."""
        match event:
            case Decided(decision=decision):
                self.decision = decision
            case Assigned():
                self.assigned = event
            case Tokens(pieces=pieces):
                self.tokens += len(pieces)
                self.parts += [piece.text for piece in pieces if piece.text]
            case Done():
                self.done = event
            case _:
                pass

    @property
    def answer(self) -> str:
        return "".join(self.parts)

    @property
    def turn(self) -> Turn | None:
        """None for an error, and where it was stopped before anything came."""
        if self.error is not None or (self.done is None and not self.answer.strip()):
            return None
        decision, done, assigned = self.decision, self.done, self.assigned
        return Turn(
            prompt=self.prompt,
            answer=self.answer,
            ended=str(done.reason) if done else STOPPED,
            asked=self.asked,
            specialty=str(decision.specialty) if decision else "",
            stage=decision.stage if decision else "",
            rule=decision.rule if decision else None,
            model=str(done.model if done else assigned.model if assigned else ""),
            node=done.node_name if done else assigned.node_name if assigned else "",
            prompt_tokens=done.prompt_tokens if done else 0,
            completion_tokens=done.completion_tokens if done else self.tokens,
            ttft_ms=done.ttft_ms if done else 0.0,
            tokens_per_second=done.tokens_per_second if done else 0.0,
            seconds=self.seconds,
            resumes=len(done.resumes) if done else 0,
        )


class Door:
    """The mesh, connected to when it is needed, and anew after it was lost."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._client: Client | None = None

    async def client(self) -> Client:
        """Raises ``Unreachable``."""
        from mesh.client.client import connect

        if self._client is None:
            client = connect(self.endpoint.split(","))
            await client.__aenter__()
            self._client = client
        return self._client

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


async def ask(
    door: Door, messages: Any, options: dict[str, Any], shows: Shows, outcome: Outcome, clock: Clock
) -> None:
    """Fills ``outcome`` as it goes, so that a cancelled one says how far it came."""
    begun = clock.now()
    try:
        client = await door.client()
        async with contextlib.aclosing(client.events(messages, **options)) as events:
            await _take(events, shows, outcome)
    except MeshError as error:
        outcome.error = error
        if isinstance(error, Unreachable):
            await door.aclose()
    finally:
        outcome.seconds = clock.now() - begun


async def _take(events: AsyncIterator[StreamEvent], shows: Shows, outcome: Outcome) -> None:
    async for event in events:
        match event:
            case Assigned() if outcome.parts and outcome.assigned is not None:
                shows.mark()
            case Tokens(pieces=pieces):
                if text := "".join(piece.text for piece in pieces):
                    shows.text(text)
            case Waiting(why=why):
                shows.note(cleaned(why, 400))
            case _:
                pass
        outcome.note(event)


async def until_interrupted(work: Coroutine[Any, Any, None]) -> bool:
    """Does it; Ctrl-C ends it, and nothing else. Whether it was done."""
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        loop.add_signal_handler(signal.SIGINT, task.cancel)
        try:
            await asyncio.wait((task,))
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)
    return not task.cancelled()

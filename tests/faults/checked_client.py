"""A client that checks invariant 1 on its own stream, token by token, and that it ends in time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field

from mesh.errors import InternalError, MeshError, ProtocolError
from mesh.stream import Assigned, Done, StreamEvent, Tokens
from mesh.types import Request
from tests.mesh.fakes import Mesh
from tests.mesh.scripted import word

SLACK_S = 0.25  # beyond the deadline, for the word of it to get out
ANSWERED = "answered"
CANCELLED = "cancelled"
NEVER = (InternalError, ProtocolError)  # no fault of the world's excuses these


@dataclass(slots=True, eq=False)
class CheckedClient:
    """``pause_s``: seconds it will not read, from its next event on. ``leave``: it closes its
    stream then. ``outcome``: ``answered``, ``cancelled`` or an error's code; "" while it runs."""

    mesh: Mesh
    request: Request
    pause_s: float = 0.0
    leave: bool = False
    received: int = 0
    attempts: int = 0
    resumed: bool = False
    outcome: str = ""
    defects: list[str] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        clock = self.mesh.clock
        deadline = clock.now() + (self.request.timeout_s or 0.0)
        begun = clock.now()
        try:
            async with aclosing(self.mesh.answered(self.request)) as events:
                while not self.outcome:
                    begun = clock.now()
                    event = await anext(events, None)
                    self._in_time(deadline, begun)
                    self._take(event)
                    if self.leave:
                        self.outcome = CANCELLED
                    elif self.pause_s:
                        pause, self.pause_s = self.pause_s, 0.0
                        await clock.sleep(pause)
        except asyncio.CancelledError:
            self.outcome = CANCELLED
            raise
        except MeshError as error:
            self._in_time(deadline, begun)
            self.outcome = error.code
            if isinstance(error, NEVER) or type(error) is MeshError:
                self._defect(f"ended with {error!r}")
            if error.request_id != self.request.id:
                self._defect(f"an error without the request's id: {error!r}")

    def _take(self, event: StreamEvent | None) -> None:
        match event:
            case Tokens(first=first, pieces=pieces):
                if first != self.received:
                    self._defect(f"token {first} came where {self.received} was next")
                for index, piece in enumerate(pieces, first):
                    if piece != word(index):
                        self._defect(f"token {index} is {piece}")
                self.received = first + len(pieces)
                if self.received > self.request.sampling.max_tokens:
                    self._defect(f"{self.received} tokens of a shorter answer")
            case Assigned(attempt=attempt):
                self.attempts = attempt
            case Done() as done:
                self.outcome = ANSWERED
                self.resumed = done.resumed
                total = self.request.sampling.max_tokens
                if not self.received == done.completion_tokens == total:
                    self._defect(f"done after {self.received} of {total} tokens: {done}")
            case None:
                self._defect("the stream ended without a last word")
                self.outcome = "nothing"
            case _:
                pass

    def _in_time(self, deadline: float, begun: float) -> None:
        late = self.mesh.clock.now() - max(deadline, begun)
        if late > SLACK_S:
            self._defect(f"answered {late:.3f} s after its deadline")

    def _defect(self, what: str) -> None:
        self.defects.append(f"request {self.request.id[-6:]}: {what}")

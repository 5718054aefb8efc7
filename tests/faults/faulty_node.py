"""A node on the twins that works for a living: it has slots, refuses, drains, breaks, and checks
what a resume says was delivered."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from mesh.errors import Draining, EngineFailed
from mesh.fleet.records import NodeState, encode_record
from mesh.transport.base import Attempt, Finished, Progress, Refused, Sink, Tokens
from mesh.types import FinishReason, Usage
from tests.mesh.scripted import ScriptedNode, word, words

RETRY_AFTER_S = 0.2


@dataclass(slots=True)
class FaultyNode(ScriptedNode):
    """Answers ``sampling.max_tokens`` words, in bursts, ``pace_s`` seconds apart in the mean.

    ``broken``: the engine raises at its next step. ``refusing``: no new attempt is taken.
    ``leaving``: a drain's grace is over, what still runs is to go elsewhere. ``defects``: what it
    saw that no node should ever see; ``served``: attempts that it accepted.
    """

    rng: random.Random = field(default_factory=lambda: random.Random(0))
    pace_s: float = 0.02
    broken: bool = False
    refusing: bool = False
    leaving: bool = False
    served: int = 0
    defects: list[str] = field(default_factory=list)

    def become(self, state: NodeState) -> None:
        """Says so by heartbeat and by record, as an agent does."""
        self.state = state
        self.beat()
        self.registry.announce(self.key, encode_record(self.record()))

    def recover(self) -> None:
        """As a new process begins."""
        self.state = NodeState.READY
        self.broken = self.refusing = self.leaving = False

    async def handle(self, attempt: Attempt, sink: Sink) -> None:
        self._check(attempt)
        if self.state is NodeState.DRAINING:
            await sink.send(Refused(code="draining", message="the node is draining"))
            return
        if self.refusing or self.used >= self.slots:
            full = Refused(code="overloaded", message="full", retry_after_s=RETRY_AFTER_S)
            await sink.send(full)
            return
        self.used += 1
        self.served += 1
        self.beat()
        try:
            await self._answer(attempt, sink)
        finally:
            self.used -= 1
            self.beat()

    async def _answer(self, attempt: Attempt, sink: Sink) -> None:
        clock, total = self.network.clock, attempt.sampling.max_tokens
        await self.accept(attempt, sink)
        steps = self.rng.randint(0, 3)
        for step in range(steps):
            await clock.sleep(self.pace_s)
            await sink.send(Progress(phase="prefilling", done=step + 1, total=steps))
        index = len(attempt.delivered)
        while index < total:
            await clock.sleep(self.pace_s * self.rng.expovariate(1))
            if self.broken:
                raise EngineFailed("the engine broke")
            if self.leaving:
                raise Draining("the node is going")
            count = min(self.rng.choice((1, 1, 1, 2, 5)), total - index)
            await sink.send(
                Tokens(first=index, pieces=tuple(word(index + i) for i in range(count)))
            )
            index += count
        usage = Usage(prompt_tokens=7, completion_tokens=total)
        await sink.send(Finished(reason=FinishReason.LENGTH, usage=usage))

    def _check(self, attempt: Attempt) -> None:
        count = len(attempt.delivered)
        if "".join(piece.text for piece in attempt.delivered) != words(count):
            self.defects.append(f"{attempt.request_id}: delivered pieces are not the answer's")
        if count > attempt.sampling.max_tokens:
            self.defects.append(f"{attempt.request_id}: {count} pieces of a shorter answer")

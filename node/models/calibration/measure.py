"""Measures one runner through its own slots, as users would use it, until told to stop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mesh.clock import Clock
from mesh.errors import EngineFailed, from_code
from mesh.fleet.answer_time import levels
from mesh.types import Message, Role, Sampling, Usage
from node.models.calibration import plan
from node.models.calibration.plan import Step
from node.models.calibration.speeds import Speeds, Timeline, decode_rate
from node.models.hosted import RunningSequence
from node.runner.messages import Done, Failed, Opened, Opening, Pieces, Prefill, Rejected


class Interrupted(Exception):
    """A user came; what was measured so far is dropped."""


@dataclass(slots=True, eq=False)
class _Stream:
    """What one measured sequence brought. Seconds of the clock."""

    opened_at: float
    prompt_tokens: int = 0
    prefilled: int = 0
    prefilled_at: float = 0.0
    arrivals: list[tuple[float, int]] = field(default_factory=list)  # at most ANSWER_TOKENS
    usage: Usage | None = None

    @property
    def prefill_tps(self) -> float:
        """By the engine's own times; of a prompt that was cut short, by its signs of progress."""
        usage = self.usage
        if usage is not None and usage.prefill_ms > 0.0:
            return 1000 * max(0, usage.prompt_tokens - usage.cached_tokens) / usage.prefill_ms
        took = self.prefilled_at - self.opened_at
        return self.prefilled / took if self.prefilled and took > 0.0 else 0.0


class Measurement:
    """One calibration. ``freed`` returns when the runner has none of our sequences any more.

    ``run`` raises ``Interrupted`` after ``interrupt``, and ``MeshError`` for what the engine does.
    """

    def __init__(
        self,
        open_sequence: Callable[[Opening], RunningSequence],
        freed: Callable[[], Awaitable[None]],
        *,
        slots: int,
        context_length: int,
        clock: Clock,
        rng: random.Random,
        budget_s: float = plan.BUDGET_S,
    ) -> None:
        self._open = open_sequence
        self._freed = freed
        self._slots = slots
        self._context = context_length
        self._clock = clock
        self._rng = rng
        self._budget_s = budget_s
        self._sequences: list[RunningSequence] = []  # of the round in hand: at most one a slot
        self._interrupted = False

    def interrupt(self) -> None:
        """Frees the slots as soon as the runner sees it; idempotent."""
        self._interrupted = True
        self._cancel()

    async def run(self) -> Speeds:
        """What could be measured within the budget (and at most a step of the engine more)."""
        begun = self._clock.now()
        try:
            found = await self._measure(begun)
        finally:
            self._cancel()
        return found

    async def _measure(self, begun: float) -> Speeds:
        end = begun + self._budget_s
        rounds = await self._step(plan.warm_up(), end, last=False)
        prefill = max((s.prefill_tps for streams in rounds for s in streams), default=0.0)
        counted = max((s.prompt_tokens for streams in rounds for s in streams), default=0)
        decode = {1: _rate(rounds)}
        steps = plan.steps(
            self._slots,
            context_length=self._context,
            prefill_tps=prefill,
            warm_tokens=counted,
        )
        for step in steps:
            rounds = await self._step(step, end, last=step is steps[-1])
            if step.name == "prefill":
                read = max((s.prefill_tps for streams in rounds for s in streams), default=0.0)
                prefill = read or prefill
            else:
                decode[step.streams] = _rate(rounds) or decode.get(step.streams, 0.0)
        one, half, full = (decode.get(streams, 0.0) for streams in levels(self._slots))
        return Speeds(
            slots=self._slots,
            prefill_tps=_rounded(prefill),
            decode_tps=_rounded(one),
            decode_tps_half=_rounded(half),
            decode_tps_full=_rounded(full),
        )

    async def _step(self, step: Step, end: float, *, last: bool) -> list[list[_Stream]]:
        now = self._clock.now()
        until = now + plan.step_s(end - now, last=last)
        rounds: list[list[_Stream]] = []
        looked = 0.0
        while (
            len(rounds) < step.rounds
            and self._clock.now() < until
            and looked < plan.ENOUGH * plan.LOOK_S
        ):
            await self._freed()
            if self._interrupted:
                raise Interrupted
            streams = await self._round(step, until)
            if self._interrupted:
                raise Interrupted
            rounds.append(streams)
            looked += _together(streams)[1]
        return rounds

    async def _round(self, step: Step, until: float) -> list[_Stream]:
        streams: list[_Stream] = []
        all_run = asyncio.Event()

        def begun() -> None:
            if len(streams) == step.streams and all(stream.arrivals for stream in streams):
                if not all_run.is_set():
                    for sequence in self._sequences:
                        sequence.grant(step.tokens - 1)
                all_run.set()

        async with asyncio.TaskGroup() as group:
            timers = (
                group.create_task(self._stop_at(until)),
                group.create_task(self._stop_after(all_run, plan.LOOK_S)),
            )
            readers = set()
            for _ in range(step.streams):
                text = plan.prompt(step.words, self._rng)
                opening = Opening(
                    messages=(Message.of(Role.USER, text),),
                    # Drawn at random, for an answer that does not end after its first word.
                    sampling=Sampling(
                        max_tokens=step.tokens, temperature=1.0, seed=self._rng.getrandbits(31)
                    ),
                    # The first token, and no more until all have theirs: prompts beside running
                    # answers would be slow.
                    credit=1,
                )
                sequence = self._open(opening)
                self._sequences.append(sequence)
                stream = _Stream(self._clock.now())
                streams.append(stream)
                readers.add(group.create_task(self._read(sequence, stream, begun)))
            # From the first end on they no longer run all at once: nothing more to learn.
            await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
            self._cancel()
            await asyncio.wait(readers)
            for timer in timers:
                timer.cancel()
        return streams

    async def _read(
        self, sequence: RunningSequence, stream: _Stream, begun: Callable[[], None]
    ) -> None:
        async for event in sequence:
            now = self._clock.now()
            match event:
                case Opened(prompt_tokens=count):
                    stream.prompt_tokens = count
                case Prefill(done=done):
                    stream.prefilled, stream.prefilled_at = done, now
                case Pieces(pieces=pieces):
                    stream.arrivals.append((now, len(pieces)))
                    begun()
                case Done(usage=usage):
                    stream.usage = usage
                    return
                case Rejected(code=code, message=text):
                    raise from_code(code, text)
                case Failed(message=text):
                    raise EngineFailed(text)

    async def _stop_at(self, until: float) -> None:
        await self._clock.sleep(until - self._clock.now())
        self._cancel()

    async def _stop_after(self, all_run: asyncio.Event, seconds: float) -> None:
        await all_run.wait()
        await self._clock.sleep(seconds)
        self._cancel()

    def _cancel(self) -> None:
        sequences, self._sequences = self._sequences, []
        for sequence in sequences:
            sequence.cancel()


def _together(streams: list[_Stream]) -> tuple[int, float]:
    return decode_rate([Timeline(tuple(stream.arrivals)) for stream in streams])


def _rate(rounds: list[list[_Stream]]) -> float:
    """Tokens per second of all rounds' common time."""
    found = [_together(streams) for streams in rounds]
    seconds = sum(took for _, took in found)
    return sum(count for count, _ in found) / seconds if seconds > 0.0 else 0.0


def _rounded(tps: float) -> float:
    """Three figures are as much as such a short look can tell, and read well."""
    return round(tps, 1) if tps < 100.0 else float(round(tps))

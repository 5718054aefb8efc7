"""The agent's handle on one model's runner: starts it, talks to it, restarts it when it dies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from mesh.backoff import exponential
from mesh.child.frames import Gone
from mesh.clock import Clock
from mesh.errors import (
    BY_CODE,
    ConfigError,
    EngineFailed,
    EngineLost,
    InvalidRequest,
    MeshError,
    Overloaded,
    ProtocolError,
    Unreachable,
)
from mesh.fleet.records import ModelCounts, ModelState
from node.engines.base import ModelFacts, ModelSpec
from node.runner import messages as m
from node.runner.at_work import SharedWord
from node.runner.launch import RunnerChild, broke_inside, exit_reason, launch_runner, shut_down
from node.runner.restarts import CRASH_LIMIT, CRASH_WINDOW_S, LONGEST_DELAY_S, restart_delay
from node.runner.sequence import Sequence
from node.runner.watching import POLL_S, KernelKills, WorkWatch

log = logging.getLogger(__name__)

HANG_S = 60.0  # silence while sequences could go on, before the engine counts as hung
LOAD_SILENCE_S = 600.0  # the same while loading: a cold disk or a GPU's first start is slow

_EXIT_S = 2.0  # from the end of its socket to its exit
_WATCHES = 10  # looks at the clock in one hang_s


class _Lost(Exception):
    """This runner process is of no more use. ``for_good``: another would end the same way.
    ``away``: what its model needs cannot be reached now, which is no crash. ``inside``: what it was
    at was its end, and not somebody's signal."""

    def __init__(
        self, message: str, *, for_good: bool = False, away: bool = False, inside: bool = False
    ) -> None:
        super().__init__(message)
        self.message = message
        self.for_good = for_good
        self.away = away
        self.inside = inside
        self.blamed = False  # one of its sequences is to blame


class RunnerProcess:
    """One model's runner. ``on_change`` is called when state, slots, error or progress change.

    ``stderr``: file that the runner's standard error is appended to; None: the agent's own.
    ``hang_s``, ``load_silence_s``: seconds of ``clock``. ``environment``: variables beside the
    agent's own; ``cpus``: empty for all of its. ``crash_limit``: crashes within ``CRASH_WINDOW_S``
    after which it is given up. ``on_loss``: of an engine that was lost to a sequence which nobody
    reads any more, so that nobody else hears of it.
    """

    def __init__(
        self,
        engine: str,
        spec: ModelSpec,
        *,
        on_change: Callable[[], None],
        clock: Clock,
        otlp_endpoint: str | None = None,
        instance: str = "",
        stderr: Path | None = None,
        environment: Mapping[str, str] | None = None,
        cpus: frozenset[int] = frozenset(),
        hang_s: float = HANG_S,
        load_silence_s: float = LOAD_SILENCE_S,
        crash_limit: int = CRASH_LIMIT,
        on_loss: Callable[[m.Opening, EngineLost], None] = lambda opening, error: None,
    ) -> None:
        self._engine = engine
        self._spec = spec
        self._on_change = on_change
        self._clock = clock
        self._otlp_endpoint = otlp_endpoint
        self._instance = instance
        self._stderr = stderr
        self._environment = environment or {}
        self._cpus = cpus
        self._hang_s = hang_s
        self._load_silence_s = load_silence_s
        self._crash_limit = crash_limit
        self._on_loss = on_loss
        self._state = ModelState.COLD
        self._facts: ModelFacts | None = None
        self._error: str | None = None
        self._load_percent = 0
        self._counts = self._counts_before = ModelCounts()
        self._runner: RunnerChild | None = None
        self._sequences: dict[int, Sequence] = {}  # at most one a slot
        self._last_number = 0
        self._answered = False  # somebody, since the process began
        self._heard_at = 0.0

    @property
    def state(self) -> ModelState:
        """LOADING also between a crash and the next start, with ``error`` set; FAILED is final."""
        return self._state

    @property
    def facts(self) -> ModelFacts | None:
        """What the engine knew when it was last loaded; None before it ever was."""
        return self._facts

    @property
    def error(self) -> str | None:
        """Why the model is not resident, or why its last answer failed, in one line; None once it
        is, or an answer succeeds."""
        return self._error

    @property
    def slots(self) -> int:
        return self._spec.slots

    @property
    def used_slots(self) -> int:
        """Slots not confirmed free by the runner: a cancelled one counts until it is."""
        return len(self._sequences)

    @property
    def pid(self) -> int | None:
        """The runner's process id while there is one."""
        return None if self._runner is None else self._runner.process.pid

    @property
    def load_percent(self) -> int:
        return self._load_percent

    @property
    def counts(self) -> ModelCounts:
        """Of all its processes, as at the last sequence's end."""
        return self._counts

    async def run(self) -> None:
        """Keeps the model resident until cancelled; returns only when it has failed for good (bad
        file or settings, or ``crash_limit`` crashes within ``CRASH_WINDOW_S``): state FAILED."""
        try:
            await self._keep_alive()
        except asyncio.CancelledError:
            self._change(ModelState.COLD, None)
            raise

    async def _keep_alive(self) -> None:
        crashes: list[float] = []
        away = 0
        while True:
            lost = await self._life()
            now = self._clock.now()
            # What its model needs is away; or one request is to blame, and others were answered.
            if lost.away or (lost.blamed and self._answered):
                away = away + 1 if lost.away else 1
                self._change(ModelState.LOADING, lost.message)
                await self._clock.sleep(exponential(away, cap_s=LONGEST_DELAY_S))
                continue
            away = 0
            crashes = [at for at in crashes if now - at <= CRASH_WINDOW_S]
            crashes.append(now)
            delay = None if lost.for_good else restart_delay(crashes, now, self._crash_limit)
            if delay is None:
                why = lost.message if lost.for_good else self._given_up(lost.message)
                log.error("model %s has failed: %s", self._spec.id, why)
                self._change(ModelState.FAILED, why)
                return
            log.warning("model %s: %s; next start in %g s", self._spec.id, lost.message, delay)
            self._change(ModelState.LOADING, lost.message)
            await self._clock.sleep(delay)

    def _given_up(self, why: str) -> str:
        times = "once" if self._crash_limit == 1 else f"{self._crash_limit} times"
        return (
            f"{why}; given up, since it ended {times} within {CRASH_WINDOW_S:g} s (crash_limit); "
            "SIGUSR1 to the node tries again at once"
        )

    def open(self, opening: m.Opening) -> Sequence:
        """Claims a slot and starts a sequence in it.

        Raises ``EngineFailed`` when the model is not resident, ``Overloaded`` when no slot is free,
        ``InvalidRequest`` when the request is too large or no text.
        """
        if self._state is not ModelState.RESIDENT or self._runner is None:
            why = f": {self._error}" if self._error else ""
            raise EngineFailed(f"model '{self._spec.id}' is {self._state}, not resident{why}")
        if len(self._sequences) >= self._spec.slots:
            raise Overloaded(f"model '{self._spec.id}' has all {self._spec.slots} slots in use")
        number = self._last_number + 1
        try:
            data = m.encode(m.Open(sequence=number, opening=opening))
        except UnicodeEncodeError:
            raise InvalidRequest("a message is not valid Unicode text; send UTF-8") from None
        except ProtocolError as error:
            raise InvalidRequest(
                f"the request is more than a runner takes: {error.message}; shorten it"
            ) from None
        if not any(s.expects for s in self._sequences.values()):
            self._heard_at = self._clock.now()
        self._last_number = number
        sequence = Sequence(number, opening, send=self._send)
        self._sequences[number] = sequence
        self._runner.send(data)
        self._on_change()
        return sequence

    async def _life(self) -> _Lost:
        """One process, from its start to why it ended."""
        lost = _Lost("the runner was stopped")
        self._load_percent = 0
        self._answered = False
        self._counts_before = self._counts
        self._heard_at = self._clock.now()
        self._change(ModelState.LOADING, self._error)
        try:
            word = SharedWord()
        except OSError as error:
            return _Lost(f"cannot start a runner: {error}")
        try:
            return await self._process(word, lost)
        finally:
            word.close()

    async def _process(self, word: SharedWord, lost: _Lost) -> _Lost:
        kills = KernelKills()
        try:
            runner = await launch_runner(
                at_work=word.fd,
                otlp_endpoint=self._otlp_endpoint,
                instance=self._instance,
                stderr=self._stderr,
                environment=self._environment,
                cpus=self._cpus,
            )
        except OSError as error:
            return _Lost(f"cannot start a runner: {error}")
        self._runner = runner
        try:
            self._send(m.Load(engine=self._engine, spec=self._spec))
            lost = await self._talk(runner, word, kills)
        except asyncio.CancelledError:
            self._forget(lost, word)
            await shut_down(runner)
            raise
        finally:
            self._forget(lost, word)
            await runner.end()
        return lost

    async def _talk(self, runner: RunnerChild, word: SharedWord, kills: KernelKills) -> _Lost:
        lost = _Lost("the runner's connection ended")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(runner, word, kills))
                tasks.create_task(self._watch())
                tasks.create_task(self._watch_work(runner, word, kills))
        except* _Lost as group:
            lost = next(e for e in group.exceptions if isinstance(e, _Lost))
        return lost

    async def _pump(self, runner: RunnerChild, word: SharedWord, kills: KernelKills) -> None:
        """Reads what the runner says; raises ``_Lost`` at its end."""
        while True:
            try:
                received = await runner.receive()
            except Gone:
                # Sequences need not wait to hear how it died: each moment is a gap in an answer.
                lately = kills.lately()
                inside = await broke_inside(runner) or lately
                lost = _Lost(f"the runner of model '{self._spec.id}' died", inside=inside)
                self._forget(lost, word)
                lost.message = f"the runner died: {await exit_reason(runner, _EXIT_S)}"
                raise lost from None
            except ProtocolError as error:
                raise _Lost(error.message) from None
            self._heard_at = self._clock.now()
            for message in received:
                self._on_message(message)

    def _on_message(self, message: m.FromRunnerMessage) -> None:
        match message:
            case m.Loading(percent=percent):
                self._load_percent = percent
                self._on_change()
            case m.Loaded(facts=facts, seconds=seconds):
                log.info("model %s loaded in %.1f s on %s", self._spec.id, seconds, facts.device)
                self._facts = facts
                self._load_percent = 100
                self._change(ModelState.RESIDENT, None)
            case m.Counts(counts=counts):
                self._counts = self._counts_before + counts
            case m.LoadFailed(code=code, message=text):
                kind = BY_CODE.get(code, MeshError)
                for_good, away = issubclass(kind, ConfigError), issubclass(kind, Unreachable)
                raise _Lost(text, for_good=for_good, away=away)
            case m.Broken(message=text):
                raise _Lost(text, inside=True)
            case m.Closed(sequence=number):
                self._free(number)
            case m.Done(sequence=number) | m.Rejected(sequence=number):
                self._put(number, message)
                self._free(number)
                self._answered |= isinstance(message, m.Done)
                if isinstance(message, m.Done) and self._error is not None:
                    self._change(self._state, None)  # it works again
            case m.Failed(sequence=number, code=code, message=text):
                self._put(number, message)
                self._free(number)
                if not issubclass(BY_CODE.get(code, MeshError), InvalidRequest):
                    self._change(self._state, text)
            case (
                m.Opened(sequence=number)
                | m.Prefill(sequence=number)
                | m.Pieces(sequence=number)
                | m.Vectors(sequence=number)
            ):
                self._put(number, message)

    def _put(self, number: int, event: m.Event) -> None:
        sequence = self._sequences.get(number)
        if sequence is None:
            raise _Lost(f"the runner sent a message about sequence {number}, which is not open")
        try:
            sequence.put(event)
        except ProtocolError as error:
            raise _Lost(error.message) from None

    def _free(self, number: int) -> None:
        if self._sequences.pop(number, None) is not None:
            self._on_change()

    async def _watch(self) -> None:
        """Raises ``_Lost`` when the runner owes a message for too long."""
        while True:
            await self._clock.sleep(self._hang_s / _WATCHES)
            now = self._clock.now()
            if self._state is ModelState.LOADING:
                what, limit = "loading", self._load_silence_s
            elif any(s.expects for s in self._sequences.values()):
                what, limit = "a step", self._hang_s
            else:
                self._heard_at = now
                continue
            if now - self._heard_at > limit:
                raise _Lost(
                    f"the engine hangs: {what} took more than {limit:g} s; it was killed"
                    f"{'' if what == 'loading' else ' (hang_s: raise it for an engine so slow)'}",
                    inside=True,
                )

    async def _watch_work(self, runner: RunnerChild, word: SharedWord, kills: KernelKills) -> None:
        """Raises ``_Lost`` when one sequence's work takes too long, or the process too much
        memory."""
        watch = WorkWatch(word, runner.process.pid, self._spec.memory_bytes)
        while True:
            await self._clock.sleep(POLL_S)
            kills.look()
            if self._sequences and (why := watch.look()):
                raise _Lost(why, inside=True)

    def _send(self, message: m.ToRunner) -> None:
        """Queues it. What may wait here is bounded: an open and a cancel per slot, and grants that
        each answer pieces which came."""
        if self._runner is not None:
            self._runner.send(m.encode(message))

    def _forget(self, lost: _Lost, word: SharedWord) -> None:
        """Its sequences end; only the one that it was at work on hears that it is to blame."""
        self._runner = None
        reason, at = lost.message, word.read()
        lost.blamed |= lost.inside and at.sequence in self._sequences
        sequences = tuple(self._sequences.values())
        self._sequences.clear()
        for sequence in sequences:
            loss = at.loss(sequence.number, reason) if lost.inside else EngineFailed(reason)
            if sequence.cancelled and isinstance(loss, EngineLost):
                self._on_loss(sequence.opening, loss)
            sequence.fail(loss)
        if self._state is ModelState.RESIDENT or sequences:
            self._change(ModelState.LOADING, reason)

    def _change(self, state: ModelState, error: str | None) -> None:
        self._state = state
        self._error = error
        self._on_change()

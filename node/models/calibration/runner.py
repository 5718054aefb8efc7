"""A runner that is measured once its model is loaded and nobody uses the node.

It stands between a hosted model and the model's real runner and looks like that: slots that are
being measured count as free, and who asks for one has it. The measured sequences are cancelled in
the same moment; their slots are free when the engine has ended the step that it is in.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from functools import partial

from mesh.clock import Clock
from mesh.errors import MeshError, Overloaded, first_of
from mesh.fleet.records import ModelCounts, ModelState
from node import threads
from node.engines.base import ModelFacts, ModelSpec
from node.models.calibration.deferred import Deferred
from node.models.calibration.measure import Interrupted, Measurement
from node.models.calibration.plan import BUDGET_S
from node.models.calibration.quiet import Quiet
from node.models.calibration.speeds import Speeds
from node.models.calibration.store import Key, Store, digest
from node.models.hosted import Runner, RunningSequence
from node.runner.messages import Opening

log = logging.getLogger(__name__)

QUIET_S = 2.0  # of quiet before it begins; doubled each time that a user comes in between
LONGEST_IDLE_S = 120.0
_POLL_S = 0.25


class MeasuredRunner:
    """See ``node.models.hosted.Runner``. ``make`` makes the real one, given its ``on_change``;
    ``engine``: with its version. ``on_speeds`` is called with what was measured, or kept from an
    earlier run. ``measured`` False: it is not, and only tells ``quiet`` of its users."""

    def __init__(
        self,
        engine: str,
        spec: ModelSpec,
        make: Callable[[Callable[[], None]], Runner],
        *,
        on_change: Callable[[], None],
        on_speeds: Callable[[Speeds], None],
        store: Store,
        quiet: Quiet,
        clock: Clock,
        rng: random.Random,
        measured: bool = True,
        budget_s: float = BUDGET_S,
    ) -> None:
        self._engine = engine
        self._spec = spec
        self._on_change = on_change
        self._on_speeds = on_speeds
        self._store = store
        self._quiet = quiet
        self._clock = clock
        self._rng = rng
        self._measured_at_all = measured
        self._budget_s = budget_s
        self._measurement: Measurement | None = None
        self._measuring = False  # until the runner has none of the measured sequences any more
        self._deferred: list[Deferred] = []  # at most one a slot
        self._before = self._own = ModelCounts()  # at a measurement's start; of measurements
        self._moved = asyncio.Event()
        self._runner = make(self._changed)

    @property
    def state(self) -> ModelState:
        return self._runner.state

    @property
    def facts(self) -> ModelFacts | None:
        return self._runner.facts

    @property
    def error(self) -> str | None:
        return self._runner.error

    @property
    def slots(self) -> int:
        return self._runner.slots

    @property
    def used_slots(self) -> int:
        """By users."""
        return len(self._deferred) if self._measuring else self._runner.used_slots

    @property
    def pid(self) -> int | None:
        return self._runner.pid

    @property
    def load_percent(self) -> int:
        return self._runner.load_percent

    @property
    def counts(self) -> ModelCounts:
        """Of users."""
        return (self._before if self._measuring else self._runner.counts).since(self._own)

    @property
    def measuring(self) -> bool:
        return self._measuring

    async def run(self) -> None:
        """As ``Runner.run``; what is measured meanwhile ends with it."""
        self._quiet.watch(self._busy)
        try:
            async with asyncio.TaskGroup() as group:
                measuring = group.create_task(self._calibrate(), name="calibration")
                await self._runner.run()
                measuring.cancel()
        finally:
            self._quiet.unwatch(self._busy)
            self._measured_leave()
            for waiting in self._take_deferred():
                waiting.fail(f"the runner of model '{self._spec.id}' was stopped")

    def open(self, opening: Opening) -> RunningSequence:
        """As ``Runner.open``."""
        self._quiet.user_came()
        if not self._measuring or self.state is not ModelState.RESIDENT:
            return self._runner.open(opening)
        if len(self._deferred) >= self.slots:
            raise Overloaded(f"model '{self._spec.id}' has all {self.slots} slots in use")
        waiting = Deferred(partial(self._runner.open, opening), self._leave)
        self._deferred.append(waiting)
        self._on_change()
        return waiting

    def _busy(self) -> bool:
        if self._runner.state is ModelState.LOADING and self._runner.error is None:
            return True  # a load takes disk, cores and memory bandwidth from what is measured
        return self.used_slots > 0

    def _leave(self, waiting: Deferred) -> None:
        if waiting in self._deferred:
            self._deferred.remove(waiting)
            self._on_change()

    def _take_deferred(self) -> list[Deferred]:
        taken, self._deferred = self._deferred, []
        return taken

    def _changed(self) -> None:
        self._moved.set()
        self._settle()
        self._on_change()

    def _settle(self) -> None:
        """Once the measured sequences have left, those that waited for it begin."""
        if self._measuring and self._measurement is None and not self._runner.used_slots:
            self._measured_leave()
            for waiting in self._take_deferred():
                waiting.start()

    def _measured_leave(self) -> None:
        """What the runner counts from now on is users'."""
        if self._measuring:
            self._measuring = False
            self._own += self._runner.counts.since(self._before)

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._moved.clear()
            await self._moved.wait()

    async def _calibrate(self) -> None:
        """Returns when there is nothing more to measure."""
        if not self._measured_at_all:
            return
        await self._until(lambda: self.state is ModelState.RESIDENT and self.facts is not None)
        facts = self.facts
        if facts is None or facts.input_price is not None or facts.output_price is not None:
            return  # somebody else's model: each token costs money
        if facts.embeds:
            return  # there is no prefill and no decoding to tell apart
        try:
            key = Key(
                model=await threads.run(partial(digest, self._spec), name="model-digest"),
                device=facts.device,
                slots=self.slots,
                context_length=facts.context_length,
                engine=self._engine,
            )
        except OSError as error:
            log.warning("model %s is not measured: %s", self._spec.id, error)
            return
        speeds = self._store.get(key)
        if speeds is None:
            if self._store.given_up(key):
                return
            try:
                speeds = await self._measured(facts.context_length)
            except* MeshError as errors:
                log.warning("model %s could not be measured: %s", self._spec.id, first_of(errors))
            if speeds is None or not speeds.known:
                log.info("model %s: its speed is not known until the node restarts", self._spec.id)
                self._store.give_up(key)
                return
            self._store.put(key, speeds)
        self._on_speeds(speeds)
        self._on_change()

    async def _measured(self, context_length: int) -> Speeds:
        """Waits for quiet, and measures, until that was not interrupted."""
        idle = QUIET_S
        while True:
            measurement = Measurement(
                self._runner.open,
                lambda: self._until(lambda: not self._runner.used_slots),
                slots=self.slots,
                context_length=context_length,
                clock=self._clock,
                rng=self._rng,
                budget_s=self._budget_s,
            )
            while not (
                self.state is ModelState.RESIDENT
                and self._quiet.for_s() >= idle
                and self._quiet.begin(measurement.interrupt)
            ):
                await self._clock.sleep(_POLL_S)
            self._before = self._runner.counts
            self._measurement, self._measuring = measurement, True
            try:
                return await measurement.run()
            except Interrupted:
                idle = min(LONGEST_IDLE_S, 2 * idle)
            finally:
                self._measurement = None
                self._quiet.end()
                self._settle()

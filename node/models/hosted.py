"""The models a node hosts: from settings, through the catalogue, to a runner each.

A model whose file is bad, or whose runner gives up, fails alone: the node goes on with the others,
and the model is tried again when a file of it changes, when told, or after ``RECOVER_S``. Whether
it is resident is somebody else's decision (``node/residency``): ``load`` and ``unload`` say so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mesh.clock import Clock, SystemClock
from mesh.either import either
from mesh.errors import ConfigError, EngineFailed, MeshError, Overloaded
from mesh.fleet.records import ModelCounts, ModelLoad, ModelRecord, ModelState
from mesh.settings.model import ModelSettings
from mesh.types import ModelId, Specialty
from node import threads
from node.engines.base import ModelFacts, ModelSpec
from node.models import catalogue
from node.models.prepared import DEFAULT_CONTEXT, Prepare, Prepared, files_mark, prepare
from node.runner.base import Runner, RunningSequence
from node.runner.messages import Opening

__all__ = [
    "DEFAULT_CONTEXT",
    "HostedModel",
    "MakeRunner",
    "Prepare",
    "Prepared",
    "Runner",
    "RunningSequence",
    "prepare",
]

log = logging.getLogger(__name__)

LOADING_RETRY_S = 1.0
BUSY_RETRY_S = 0.5
RECOVER_S = 300.0  # after a failure; a file that changed is tried at once
FILE_LOOK_S = 2.0  # between two looks at the file of a failed model


MakeRunner = Callable[[str, ModelSpec, Callable[[], None]], Runner]


class HostedModel:
    """One model of this node. ``run`` owns its preparation and its runner.

    Wanted from the start; ``hold`` says that ``load`` and ``unload`` decide instead. ``closed``:
    why it takes nothing new, "" while it does. ``retired``: and never will again.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        default_threads: int,
        make_runner: MakeRunner,
        on_change: Callable[[], None],
        prepare: Prepare = prepare,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.id = ModelId(settings.id or catalogue.model_id(settings.source))
        self._default_threads = default_threads
        self._make_runner = make_runner
        self._on_change = on_change
        self._prepare = prepare
        self._clock = clock or SystemClock()
        self.prepared: Prepared | None = None
        self.eager = True
        self.last_error = ""
        self.closed = ""
        self.retired = False
        self._spec: ModelSpec | None = None
        self._runner: Runner | None = None
        self._facts: ModelFacts | None = None
        self._counts = ModelCounts()  # of runners that have ended
        self._pulled_percent = 0  # set in the thread that prepares
        self._error: str | None = None
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._unwanted = asyncio.Event()
        self._again = asyncio.Event()

    @property
    def state(self) -> ModelState:
        """LOADING also while its file is looked for, and while its first load is to be decided."""
        if self._error is not None:
            return ModelState.FAILED
        if self._runner is not None and not self.leaving:
            # COLD only until its task has begun to run.
            state = self._runner.state
            return ModelState.LOADING if state is ModelState.COLD else state
        return ModelState.LOADING if self._wanted.is_set() or self.eager else ModelState.COLD

    @property
    def error(self) -> str | None:
        return self._error or (None if self._runner is None else self._runner.error)

    @property
    def facts(self) -> ModelFacts | None:
        """What the engine knew when it was last loaded; None before it ever was."""
        found = None if self._runner is None else self._runner.facts
        return found or self._facts

    @property
    def slots(self) -> int:
        return self.settings.slots if self._runner is None else self._runner.slots

    @property
    def used_slots(self) -> int:
        return 0 if self._runner is None else self._runner.used_slots

    @property
    def load_percent(self) -> int:
        """Of its load, or before that of its download."""
        return self._pulled_percent if self._runner is None else self._runner.load_percent

    @property
    def counts(self) -> ModelCounts:
        """Of all its runners."""
        return self._counts if self._runner is None else self._counts + self._runner.counts

    @property
    def pid(self) -> int | None:
        """Of its runner, while there is one."""
        return None if self._runner is None else self._runner.pid

    @property
    def hosted(self) -> bool:
        """Whether it has, or is to have, a runner; its memory is not free before that ends."""
        return self._runner is not None or self._wanted.is_set()

    @property
    def leaving(self) -> bool:
        """It is being unloaded."""
        return self._runner is not None and self._unwanted.is_set()

    def hold(self) -> None:
        """From now on it is resident only when ``load`` says so."""
        self._wanted.clear()

    def load(self, spec: ModelSpec | None = None) -> None:
        """Makes it resident, with ``spec`` instead of the prepared one. Once prepared, and not
        while it is being unloaded."""
        self._spec = spec
        self.eager = False
        self._unwanted.clear()
        self._wanted.set()
        self._on_change()

    def unload(self) -> None:
        """Ends its runner. No sequence can be opened from this moment on; idempotent."""
        self.eager = False
        self._wanted.clear()
        self._unwanted.set()
        self._on_change()

    def close(self, why: str) -> None:
        """Takes nothing new from this moment on; what runs goes on. ``why``: for who comes."""
        self.closed = why
        self._on_change()

    def reopen(self) -> None:
        """Takes requests again, unless it was retired."""
        if not self.retired:
            self.closed = ""
            self._on_change()

    def retire(self, why: str) -> None:
        """Closes it for good: whoever runs it ends that once nothing is left on it."""
        self.retired = True
        self.close(why)

    def fail(self, error: str) -> None:
        """It cannot be loaded, or must not stay: FAILED until ``retry`` or ``RECOVER_S``."""
        if self._error is None:
            log.error("model %s does not work: %s", self.id, error)
        self._error = self.last_error = error
        self._again.clear()
        self.unload()

    def retry(self) -> None:
        """What made it fail may be over."""
        self._again.set()

    async def run(self) -> None:
        """Keeps it as it is wanted until cancelled."""
        held = not self._wanted.is_set()
        while True:
            try:
                self.prepared = await threads.run(
                    lambda: self._prepare(
                        self.settings, self.id, self._default_threads, self._pulled
                    ),
                    name=f"prepare-{self.id}",
                )
                self._pulled_percent = 0
                self._on_change()
                await self._host()
            except MeshError as error:
                self.fail(error.message)
            self._on_change()
            await self._recovers()
            log.info("model %s is tried again", self.id)
            self._error, self.eager = None, True
            self._unwanted.clear()
            if not held:
                self._wanted.set()
            self._on_change()

    def _pulled(self, percent: int) -> None:
        self._pulled_percent = percent

    async def _host(self) -> None:
        """Returns when it has failed. Raises ``MeshError``."""
        while self._error is None:
            await either(self._wanted.wait(), self._unwanted.wait())
            if self._unwanted.is_set():  # unloaded, or failed, before it was loaded
                self._unwanted.clear()
                continue
            if self.prepared is None:
                raise ConfigError(f"model '{self.id}' is to be loaded before it was looked at")
            runner = self._make_runner(
                self.settings.engine, self._spec or self.prepared.spec, self._runner_changed
            )
            self._runner = runner
            self._on_change()
            try:
                await either(runner.run(), self._unwanted.wait())
                self._facts = runner.facts or self._facts
                if not self._unwanted.is_set() and runner.state is ModelState.FAILED:
                    self.fail(runner.error or "its runner ended without a reason")
            finally:
                self._counts, self._runner = self.counts, None
            self._unwanted.clear()
            self._on_change()

    def _runner_changed(self) -> None:
        """What is over by the next start stays as the last error; being unloaded is no error."""
        if self._runner is not None and self._runner.error is not None and not self.leaving:
            self.last_error = self._runner.error
        self._on_change()

    async def _recovers(self) -> None:
        """Returns when the model may work again."""
        seen = files_mark(self.settings, self.prepared)
        until = self._clock.now() + RECOVER_S
        while self._clock.now() < until and not self._again.is_set():
            if files_mark(self.settings, self.prepared) != seen:
                return
            await either(self._again.wait(), self._clock.sleep(FILE_LOOK_S))

    def open(self, opening: Opening) -> RunningSequence:
        """Claims a slot. Raises ``Overloaded`` when full or not resident, ``EngineFailed``."""
        runner = self._runner
        if self.closed:
            raise Overloaded(self.closed, retry_after_s=BUSY_RETRY_S)
        match self.state:
            case ModelState.FAILED:
                # A refusal: the node's other models are well, and nothing broke in this attempt.
                raise Overloaded(f"model '{self.id}' does not work here: {self.error}")
            case ModelState.COLD | ModelState.LOADING:
                raise Overloaded(
                    f"model '{self.id}' is still loading", retry_after_s=LOADING_RETRY_S
                )
            case ModelState.RESIDENT if runner is None:
                raise EngineFailed(f"model '{self.id}' lost its runner")
            case ModelState.RESIDENT:
                pass
        if runner.used_slots >= runner.slots:
            raise Overloaded(
                f"model '{self.id}' has all {runner.slots} slots in use",
                retry_after_s=BUSY_RETRY_S,
            )
        return runner.open(opening)

    @property
    def embeds(self) -> bool:
        """Whether it makes vectors instead of answers: what its settings and file say, until the
        engine has said so."""
        if self.facts is not None:
            return self.facts.embeds
        if self.prepared is not None:
            return self.prepared.embeds
        return self.settings.options.get("embedding") is True

    def record(self) -> ModelRecord:
        """``used_slots`` is 0 here: it rides on heartbeats, and a stale figure would mislead."""
        facts, prepared = self.facts, self.prepared
        files = prepared.files if prepared else None
        context = self.settings.context_length or 0
        if prepared is not None:
            context = prepared.spec.context_length
        return ModelRecord(
            id=self.id,
            engine=self.settings.engine,
            specialties=tuple(Specialty(name) for name in self.settings.specialties),
            state=self.state,
            slots=self.slots,
            used_slots=0,
            context_length=facts.context_length if facts else context,
            device=facts.device if facts else "",
            file=prepared.file if prepared else "",
            file_bytes=files.file_bytes if files else 0,
            architecture=(facts and facts.architecture) or (files and files.architecture) or "",
            parameters=(facts and facts.parameters) or (files and files.parameters) or 0,
            quantisation=(facts and facts.quantisation) or (files and files.quantisation) or "",
            tokenizer_hash=facts.tokenizer_hash if facts else "",
            template_hash=facts.template_hash if facts else "",
            tier=facts.tier if facts else "",
            input_price=facts.input_price if facts else None,
            output_price=facts.output_price if facts else None,
            error=self.error,
            embeds=self.embeds,
            instant=prepared.instant if prepared else False,
            pinned=self.settings.pinned,
            ttl_s=self.settings.ttl_s,
            last_error=self.last_error,
        )

    def load_now(self) -> ModelLoad:
        """The part that rides on heartbeats."""
        state = self.state
        return ModelLoad(
            model=self.id,
            state=state,
            slots=self.slots,
            used_slots=self.used_slots,
            load_percent=self.load_percent if state is ModelState.LOADING else 0,
            counts=self.counts,
        )

"""The models a node hosts: from settings, through the catalogue, to a runner each.

A model whose file is bad, or whose runner gives up, fails alone: the node goes on with the others.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mesh.config import ModelSettings
from mesh.errors import ConfigError, EngineFailed, MeshError, Overloaded
from mesh.records import ModelLoad, ModelRecord, ModelState
from mesh.types import Message, ModelId, Piece, Sampling, Specialty
from node import catalogue, threads
from node.engines.base import ModelFacts, ModelSpec
from node.runner.messages import Done, Opened, Pieces, Prefill, Rejected

log = logging.getLogger(__name__)

DEFAULT_CONTEXT = 8192  # tokens; a longer one is asked for, since its cache costs memory
LOADING_RETRY_S = 1.0
BUSY_RETRY_S = 0.5
FILE_ENGINES = frozenset({"llama_cpp"})  # their source is a GGUF file, inspected before loading


class RunningSequence(Protocol):
    """One sequence on a runner. Iterating raises ``EngineFailed`` when the runner is lost."""

    def __aiter__(self) -> AsyncIterator[Opened | Rejected | Prefill | Pieces | Done]: ...

    def grant(self, pieces: int) -> None: ...

    def cancel(self) -> None:
        """Idempotent; frees the slot as soon as the runner sees it."""
        ...


class Runner(Protocol):
    """What ``node.runner.process.RunnerProcess`` is to the agent."""

    @property
    def state(self) -> ModelState: ...
    @property
    def facts(self) -> ModelFacts | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def slots(self) -> int: ...
    @property
    def used_slots(self) -> int: ...

    async def run(self) -> None: ...

    def open(
        self,
        *,
        messages: tuple[Message, ...],
        sampling: Sampling,
        credit: int,
        delivered: tuple[Piece, ...] = (),
        by_ids: bool = True,
        traceparent: str = "",
    ) -> RunningSequence: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is known of a model before it is loaded. ``file`` "" for engines without one."""

    spec: ModelSpec
    file: str = ""
    file_bytes: int = 0
    architecture: str = ""
    parameters: int = 0
    quantisation: str = ""


Prepare = Callable[[ModelSettings, ModelId, int], Prepared]
MakeRunner = Callable[[str, ModelSpec, Callable[[], None]], Runner]


def prepare(settings: ModelSettings, model: ModelId, default_threads: int) -> Prepared:
    """Finds (downloads) and inspects the model's file. Blocking, possibly for minutes.

    Raises ``ModelFileError``.
    """
    threads_wanted = settings.threads or default_threads

    def spec(source: str, context: int) -> ModelSpec:
        return ModelSpec(
            id=model,
            source=source,
            slots=settings.slots,
            context_length=context,
            threads=threads_wanted,
            gpu_layers=settings.gpu_layers,
            options=settings.options,
        )

    if settings.engine not in FILE_ENGINES:
        return Prepared(spec=spec(settings.source, settings.context_length or DEFAULT_CONTEXT))
    path = catalogue.resolve(settings.source)
    facts = catalogue.inspect(path)
    context = settings.context_length or min(
        facts.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT
    )
    return Prepared(
        spec=spec(str(path), context),
        file=str(path),
        file_bytes=facts.file_bytes,
        architecture=facts.architecture,
        parameters=facts.parameters,
        quantisation=facts.quantisation,
    )


class HostedModel:
    """One model of this node. ``run`` owns its preparation and its runner."""

    def __init__(
        self,
        settings: ModelSettings,
        *,
        default_threads: int,
        make_runner: MakeRunner,
        on_change: Callable[[], None],
        prepare: Prepare = prepare,
    ) -> None:
        self.settings = settings
        self.id = ModelId(settings.id or catalogue.model_id(settings.source))
        self._default_threads = default_threads
        self._make_runner = make_runner
        self._on_change = on_change
        self._prepare = prepare
        self._prepared: Prepared | None = None
        self._runner: Runner | None = None
        self._error: str | None = None

    @property
    def state(self) -> ModelState:
        if self._error is not None:
            return ModelState.FAILED
        return ModelState.LOADING if self._runner is None else self._runner.state

    @property
    def error(self) -> str | None:
        return self._error or (None if self._runner is None else self._runner.error)

    @property
    def facts(self) -> ModelFacts | None:
        return None if self._runner is None else self._runner.facts

    @property
    def slots(self) -> int:
        return self.settings.slots if self._runner is None else self._runner.slots

    @property
    def used_slots(self) -> int:
        return 0 if self._runner is None else self._runner.used_slots

    async def run(self) -> None:
        """Until cancelled, or until the model has failed for good (``error`` then says why)."""
        try:
            self._prepared = await threads.run(
                lambda: self._prepare(self.settings, self.id, self._default_threads),
                name=f"prepare-{self.id}",
            )
            self._runner = self._make_runner(
                self.settings.engine, self._prepared.spec, self._on_change
            )
            self._on_change()
            await self._runner.run()
        except MeshError as error:
            self._error = error.message
            log.error("model %s does not work: %s", self.id, error.message)
        self._on_change()

    def open(
        self,
        *,
        messages: tuple[Message, ...],
        sampling: Sampling,
        credit: int,
        delivered: tuple[Piece, ...],
        tokenizer_hash: str,
        traceparent: str,
    ) -> RunningSequence:
        """Claims a slot. Raises ``Overloaded`` when full or still loading, ``EngineFailed``."""
        runner, facts = self._runner, self.facts
        match self.state:
            case ModelState.FAILED:
                # A refusal: the node's other models are well, and nothing broke in this attempt.
                raise Overloaded(f"model '{self.id}' does not work here: {self.error}")
            case ModelState.COLD | ModelState.LOADING:
                raise Overloaded(
                    f"model '{self.id}' is still loading", retry_after_s=LOADING_RETRY_S
                )
            case ModelState.RESIDENT if runner is None or facts is None:
                raise EngineFailed(f"model '{self.id}' lost its runner")
            case ModelState.RESIDENT:
                pass
        if runner.used_slots >= runner.slots:
            raise Overloaded(
                f"model '{self.id}' has all {runner.slots} slots in use",
                retry_after_s=BUSY_RETRY_S,
            )
        return runner.open(
            messages=messages,
            sampling=sampling,
            credit=credit,
            delivered=delivered,
            # Two tokenizers that nobody knows are not the same one.
            by_ids=bool(tokenizer_hash) and tokenizer_hash == facts.tokenizer_hash,
            traceparent=traceparent,
        )

    def record(self) -> ModelRecord:
        """``used_slots`` is 0 here: it rides on heartbeats, and a stale figure would mislead."""
        facts, prepared = self.facts, self._prepared
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
            file_bytes=prepared.file_bytes if prepared else 0,
            architecture=(facts and facts.architecture)
            or (prepared and prepared.architecture)
            or "",
            parameters=(facts and facts.parameters) or (prepared and prepared.parameters) or 0,
            quantisation=(facts and facts.quantisation)
            or (prepared and prepared.quantisation)
            or "",
            tokenizer_hash=facts.tokenizer_hash if facts else "",
            template_hash=facts.template_hash if facts else "",
            error=self.error,
        )

    def load(self) -> ModelLoad:
        return ModelLoad(
            model=self.id, state=self.state, slots=self.slots, used_slots=self.used_slots
        )


def check_ids(models: Sequence[HostedModel]) -> None:
    """Raises ``ConfigError`` when there is no model, or two would answer to one id."""
    if not models:
        raise ConfigError(
            "this node hosts no model: give one with --model SOURCE --specialty NAME, or [[models]]"
        )
    seen: dict[ModelId, str] = {}
    for model in models:
        if model.id in seen:
            raise ConfigError(
                f"two models have the id '{model.id}' ('{seen[model.id]}' and "
                f"'{model.settings.source}'); give one of them an id of its own"
            )
        seen[model.id] = model.settings.source

"""Orders of a person on a running node: bring a model, load one, let one go.

What was brought so is the node's until it is let go or the node ends; its settings stay as they
are. Whoever ordered may leave: what was begun goes on.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path

from mesh.errors import ConfigError, EngineFailed, MeshError, Overloaded, UnknownModel
from mesh.fleet.records import ModelState
from mesh.orders import LoadOrder, Phase, Step, UnloadOrder
from mesh.settings.model import ModelSettings
from mesh.transport.base import Progress
from mesh.types import ModelId
from node.engines.registry import check_engine, traits_of
from node.engines.traits import Source
from node.models import catalogue
from node.models.hosted import HostedModel
from node.models.hub.source import is_hub
from node.models.residency.agent import Residency
from node.models.roster import Origin, Roster

Steps = AsyncGenerator[Step, None]


class Orders:
    """``make``: a model to be put on the roster."""

    def __init__(
        self,
        roster: Roster,
        residency: Residency,
        make: Callable[[ModelSettings], HostedModel],
    ) -> None:
        self._roster = roster
        self._residency = residency
        self._make = make

    async def load(self, order: LoadOrder) -> Steps:
        """Ends with ``RESIDENT``. Raises ``ConfigError`` for what cannot be, ``Overloaded`` where
        no room can be made, ``EngineFailed`` where its load failed; of a model that was to be
        brought nothing is left then."""
        model, brought = self._meant(order)
        try:
            async with aclosing(self._loaded(model)) as steps:
                async for step in steps:
                    yield step
        except MeshError:
            if brought:
                self._roster.remove(model.id, "it could not be loaded")
                await self._gone(model)
            raise

    async def unload(self, order: UnloadOrder) -> Steps:
        """Ends with ``FORGOTTEN`` or ``COLD``. Raises ``Overloaded`` while answers run on it that
        nobody waits for, ``UnknownModel``, and ``ConfigError`` for one that is pinned."""
        model = self._roster.get(ModelId(order.model))
        if model is None:
            raise UnknownModel(f"the node hosts no model '{order.model}'; {self._hosted()}")
        if model.closed:
            raise Overloaded(f"{model.closed}; that is under way")
        brought = self._roster.origins[model.id] is Origin.ORDER
        if model.settings.pinned:
            raise ConfigError(
                f"'{model.id}' is pinned: the node would load it again at once; take that out of "
                "its settings"
            )
        if (busy := self._roster.busy(model)) and not order.wait:
            raise Overloaded(
                f"{_answers(busy)} on '{model.id}'; say --wait to let "
                f"{'it' if busy == 1 else 'them'} end first"
            )
        if brought:
            self._roster.remove(model.id, "it is unloaded")
            while self._roster.get(model.id) is model:
                yield self._left(model)
                await self._moved(model)
            yield Step(phase=Phase.FORGOTTEN, model=model.id)
            return
        async with aclosing(self._cooled(model)) as steps:
            async for step in steps:
                yield step

    def _meant(self, order: LoadOrder) -> tuple[HostedModel, bool]:
        """The model, and whether it is new here."""
        there = self._roster.get(ModelId(order.source))
        if not order.specialties:
            if there is None:
                raise ConfigError(
                    f"the node hosts no model '{order.source}' ({self._hosted()}); to bring one, "
                    "say what it is good at with --specialty"
                )
            if order.id or order.engine or order.slots or order.context_length:
                raise ConfigError(
                    f"'{there.id}' is hosted with settings of its own: name, slots, context and "
                    "engine are for a model that is brought; `mesh unload` that first if it was"
                )
            if there.retired:
                raise Overloaded(f"{there.closed}; try again in a moment")
            return there, False
        if there is not None and not order.id:
            raise ConfigError(
                f"the node hosts '{there.id}' already; leave out --specialty to load it, or call "
                "the new one otherwise with --name"
            )
        said = {"engine": order.engine, "slots": order.slots}
        settings = ModelSettings(
            source=order.source,
            specialties=order.specialties,
            id=order.id or None,
            context_length=order.context_length,
            **{key: value for key, value in said.items() if value},  # type: ignore[arg-type]
        )
        settings.check("mesh load")
        check_engine(settings.source, settings.engine)
        if order.id and order.id != catalogue.model_id(order.id):
            raise ConfigError(
                f"'{order.id}' is no name of a model; try '{catalogue.model_id(order.id)}'"
            )
        of_disk = {Source.FILE, Source.FOLDER} & traits_of(settings.engine).sources
        if of_disk and not is_hub(order.source):
            if not Path(order.source).is_absolute():
                raise ConfigError(f"'{order.source}' is to be a whole path, from / on, or hf:...")
            if not Path(order.source).exists():
                raise ConfigError(f"there is no {order.source} on the node's box")
        model = self._make(settings)
        self._roster.add(model, Origin.ORDER)
        return model, True

    async def _loaded(self, model: HostedModel) -> Steps:
        def is_now(state: ModelState) -> bool:
            return model.state is state

        if is_now(ModelState.FAILED):
            model.retry()
            await self._roster.until(lambda: not is_now(ModelState.FAILED))
        if not is_now(ModelState.RESIDENT):
            waiter = self._residency.want(model.id)
            try:
                while not is_now(ModelState.RESIDENT):
                    yield self._way(model)
                    if not isinstance(await waiter.next(), Progress):
                        break
                    wait = self._residency.waits(model.id)
                    if wait is not None and wait.hopeless:
                        raise Overloaded(f"'{model.id}' cannot be loaded now: {wait.reason}")
            except Overloaded:
                if not is_now(ModelState.FAILED):
                    raise
                raise EngineFailed(f"'{model.id}' could not be loaded: {model.error}") from None
            finally:
                self._residency.leave(model.id, waiter)
        record = self._residency.record(model.id)
        if record is None:
            raise Overloaded(f"'{model.id}' went while it was loaded")
        yield Step(
            phase=Phase.RESIDENT,
            model=model.id,
            device=record.device,
            slots=model.slots,
            context_length=record.context_length,
            bytes=record.measured_bytes or record.estimated_bytes,
            load_s=record.load_s,
            text=record.note,
        )

    def _way(self, model: HostedModel) -> Step:
        """How far it is."""
        if model.prepared is None and is_hub(model.settings.source):
            return Step(phase=Phase.PULLING, model=model.id, percent=model.load_percent)
        if model.hosted:
            return Step(phase=Phase.LOADING, model=model.id, percent=model.load_percent)
        wait = self._residency.waits(model.id)
        return Step(phase=Phase.WAITING, model=model.id, text=wait.reason if wait else "")

    async def _cooled(self, model: HostedModel) -> Steps:
        if not model.hosted:
            model.unload()
            yield Step(phase=Phase.COLD, model=model.id, text="it was not loaded")
            return
        model.close(f"model '{model.id}' is being unloaded")
        try:
            while self._roster.busy(model):
                yield self._left(model)
                await self._moved(model)
            model.unload()
            await self._roster.until(lambda: not model.hosted)
        finally:
            model.reopen()
        yield Step(phase=Phase.COLD, model=model.id)

    def _left(self, model: HostedModel) -> Step:
        return Step(phase=Phase.ANSWERS, model=model.id, answers=self._roster.busy(model))

    async def _moved(self, model: HostedModel) -> None:
        """Until another number of answers is left, or it has gone."""
        before = self._roster.busy(model)
        await self._roster.until(
            lambda: self._roster.get(model.id) is not model or self._roster.busy(model) != before
        )

    async def _gone(self, model: HostedModel) -> None:
        await self._roster.until(lambda: self._roster.get(model.id) is not model)

    def _hosted(self) -> str:
        return f"it hosts {', '.join(model.id for model in self._roster) or 'none now'}"


def _answers(count: int) -> str:
    return "1 answer runs" if count == 1 else f"{count} answers run"

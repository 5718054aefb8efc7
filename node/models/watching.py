"""Serves a folder: what appears in it is taken up, what goes from it is let go.

A file is taken up once it stood still between two looks and its header reads well, so that one
that is being copied is left alone. What is of no use is told once, in the log and in the record,
and looked at again when it changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mesh.cleaned import cleaned
from mesh.clock import Clock
from mesh.errors import ConfigError, MeshError
from mesh.fleet.records import ModelRecord, ModelState
from mesh.settings.folder import ModelsFolder
from mesh.settings.model import ModelSettings
from mesh.types import Specialty
from node import threads
from node.engines.registry import traits_of
from node.engines.traits import Source
from node.models import catalogue, folder
from node.models.folder import Look, Mark
from node.models.hosted import HostedModel
from node.models.roster import Origin, Roster

log = logging.getLogger(__name__)

LOOK_S = 2.0
LONGEST_PATH = 4_096
MOST_TOLD = 256  # files of no use that the record names; the log has all


@dataclass(frozen=True, slots=True)
class _File:
    """As it was found. ``model``: None for one of no use, and ``why``. ``blocked``: not by itself,
    but by what else the node hosts."""

    mark: Mark
    model: HostedModel | None = None
    why: str = ""
    blocked: bool = False


class FolderWatch:
    """``make``: a model to be run. ``on_change``: the record says something else now."""

    def __init__(
        self,
        settings: ModelsFolder,
        roster: Roster,
        make: Callable[[ModelSettings], HostedModel],
        *,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._path = Path(settings.path).expanduser().absolute()
        self._roster = roster
        self._make = make
        self._clock = clock
        self._on_change = on_change
        self._traits = traits_of(settings.engine)
        self._last: Look = {}
        self._known: dict[Path, _File] = {}
        self._trouble = ""

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            try:
                now, more = await threads.run(
                    partial(folder.look, self._path), name="models-folder"
                )
            except OSError as error:
                # A disk that is away for a moment takes no model with it.
                why = f"cannot read {self._path}: {error.strerror or error}"
                self._troubled(f"{why}; what was taken up from it stays")
            else:
                left = f"{self._path} has {more:,} models more than are looked at" if more else ""
                self._troubled(left)
                await self._act(now)
                self._last = now
            await self._clock.sleep(LOOK_S)

    @property
    def waits(self) -> str:
        """Why there may be no model at all."""
        return f"waits for models: {self._trouble or f'no *.gguf in {self._path} yet'}"

    def records(self) -> tuple[ModelRecord, ...]:
        """Of what is of no use, as models that do not work."""
        useless = [(file, known) for file, known in self._known.items() if known.model is None]
        return tuple(
            ModelRecord(
                id=model,
                engine=self._settings.engine,
                specialties=tuple(Specialty(name) for name in self._settings.specialties),
                state=ModelState.FAILED,
                slots=0,
                used_slots=0,
                context_length=0,
                device="",
                file=cleaned(str(file), LONGEST_PATH),
                error=known.why,
            )
            for file, known in useless[:MOST_TOLD]
            if self._roster.get(model := catalogue.model_id(file.name)) is None
        )

    async def _act(self, now: Look) -> None:
        for file, known in list(self._known.items()):
            if known.blocked and self._roster.takes(catalogue.model_id(file.name)):
                del self._known[file]  # the way is free
        decided = folder.moves(
            self._last, now, {file: known.mark for file, known in self._known.items()}
        )
        for file in decided.gone:
            self._forget(file, f"its file {file.name} is gone from {self._path}")
        for file in decided.changed:
            self._forget(file, f"its file {file.name} has changed")
        for file in decided.partly:
            there, of_it = sum(part is not None for part in now[file]), len(now[file])
            what = f"{there} of its {of_it} files are here" if of_it > 1 else "it is no file"
            self._useless(file, now[file], what)
        for file in decided.still:
            await self._take_up(file, now[file])

    async def _take_up(self, file: Path, mark: Mark) -> None:
        try:
            model, specialties = folder.named(file, self._settings.specialties)
            there = self._roster.get(model)
            if there is not None and there.retired:
                return  # the one before it has answers to end; next time
            source = model if Source.FILE not in self._traits.sources else str(file)
            if Source.FILE in self._traits.sources:
                await threads.run(partial(self._looked_into, file), name=f"inspect-{model}")
            made = self._make(self._settings.model(source, model, specialties))
        except MeshError as error:
            self._useless(file, mark, error.message)
            return
        try:
            self._roster.add(made, Origin.FOLDER)
        except ConfigError as error:
            self._useless(file, mark, error.message, blocked=True)
            return
        log.info("model %s is taken up from %s", model, self._path)
        self._known[file] = _File(mark, made)

    def _looked_into(self, file: Path) -> None:
        """Raises ``MeshError`` for what is no model."""
        self._traits.inspect(catalogue.resolve(str(file)))

    def _forget(self, file: Path, why: str) -> None:
        known = self._known.pop(file)
        if known.model is None:
            self._on_change()
        elif self._roster.get(known.model.id) is known.model:
            self._roster.remove(known.model.id, why)

    def _useless(self, file: Path, mark: Mark, why: str, *, blocked: bool = False) -> None:
        log.warning("%s is not served: %s", cleaned(file.name, LONGEST_PATH), why)
        self._known[file] = _File(mark, why=why, blocked=blocked)
        self._on_change()

    def _troubled(self, why: str) -> None:
        if why and why != self._trouble:
            log.warning("%s", why)
        if why != self._trouble:
            self._trouble = why
            self._on_change()


def checked(settings: ModelsFolder) -> None:
    """Whether such a folder can be served. Raises ``ConfigError``."""
    traits = traits_of(settings.engine)
    if not {Source.FILE, Source.NAME} & traits.sources:
        raise ConfigError(
            f"models_folder is for GGUF files, which engine {settings.engine} does not load"
        )
    path = Path(settings.path).expanduser().absolute()
    if not path.is_dir():
        what = "is no folder" if path.exists() else "does not exist"
        raise ConfigError(f"models_folder: {path} {what}; name one that is to have GGUF files")

"""Rules that change while the orchestrator runs: from a file, and from the registry.

Two sources: a file, looked at every half second, and the registry's key ``config/rules``, which
wins while it exists, so that one write changes the rules of a whole fleet. New rules are checked
and compiled in a thread and then take the place of the old ones in one assignment: a decision uses
the one set or the other, never a mixture. Rules with an error are refused by name in the log, and
those in use stay. So they do while a source is blank, as a file is for a moment when an editor
writes it, and a key after a slip; ``rules = []`` says that there shall be none.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mesh.clock import Clock
from mesh.errors import ConfigError, RuleError
from mesh.fleet.records import rules_version
from mesh.registry.base import RULES, Delete, Put, Registry
from mesh.settings.shipped import shipped
from mesh.types import Specialty
from orchestrator.router.cascade import Cascade
from orchestrator.router.rule_file import MAX_FILE_BYTES, RuleSet, parse
from orchestrator.router.spec import Placed

POLL_S = 0.5

_LOG = logging.getLogger(__name__)
# (rules, where they are from) -> the stages in order, under them. In a thread, at each reload.
Arrange = Callable[[RuleSet, str], tuple[Placed, ...]]
_Signature = tuple[int, int, int]  # modification time in ns, size in bytes, inode


@dataclass(frozen=True, slots=True)
class _Source:
    where: str
    content: bytes


def starter_rules() -> Path:
    """The rules that ship with the package (``configs/rules.toml``)."""
    return shipped("rules.toml")


def build(content: bytes, where: str, fallback: Specialty, arrange: Arrange) -> Cascade:
    """The cascade of one rules file: the stages that ``arrange`` makes, then the file's own
    fallback if it names one, else ``fallback``. Blocks while it compiles. Raises ``RuleError``."""
    rules = parse(content, where=where)
    return Cascade(arrange(rules, where), rules.fallback or fallback, rules.version)


class RulesReloader:
    """Keeps ``current`` up to date for as long as ``run`` runs.

    ``file`` None: the starter rules. ``registry`` None: only the file. ``clock`` paces the polling.
    ``on_change`` is called on the event loop after each swap (to announce the new version).
    ``arrange``: see ``build``.

    Making one reads and compiles the file, blocking, and raises ``RuleError`` or ``ConfigError``:
    an orchestrator does not start on rules that are wrong, though it goes on when they become so.
    """

    def __init__(
        self,
        *,
        fallback: Specialty,
        clock: Clock,
        arrange: Arrange,
        file: Path | None = None,
        registry: Registry | None = None,
        on_change: Callable[[Cascade], None] | None = None,
    ) -> None:
        self._arrange = arrange
        self._fallback = fallback
        self._clock = clock
        self._path = file if file is not None else starter_rules()
        self._registry = registry
        self._on_change = on_change
        self._settling = asyncio.Lock()
        self._from_key: _Source | None = None
        self._signature: _Signature | None = None
        self._from_file = self._first_reading()
        self._settled = self._from_file
        self._current = self._build(self._from_file)
        self._last_error: str | None = None

    @property
    def current(self) -> Cascade:
        """The cascade to decide with; ask for it anew at each request."""
        return self._current

    @property
    def version(self) -> str:
        """Version of the rules in use."""
        return self._current.rules_version

    @property
    def last_error(self) -> str | None:
        """Why the newest rules were refused, or the file not read; None when all is well."""
        return self._last_error

    async def run(self) -> None:
        """Watches both sources until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll_file(), name="rules-file")
            if self._registry is not None:
                tasks.create_task(self._watch_key(self._registry), name="rules-key")

    def _first_reading(self) -> _Source:
        try:
            reading = _read_if_new(self._path, None)
        except OSError as error:
            raise ConfigError(f"cannot read the rules file {self._path}: {_why(error)}") from None
        self._signature, content = reading if reading is not None else (None, b"")
        return _Source(str(self._path), content)

    async def _poll_file(self) -> None:
        while True:
            await self._clock.sleep(POLL_S)
            try:
                reading = await asyncio.to_thread(_read_if_new, self._path, self._signature)
            except OSError as error:
                # Editors replace files, disks go away: what is in use stays, and the next look may
                # find it again. Forgetting the signature makes that look a fresh one.
                self._signature = None
                self._refuse(f"cannot read the rules file {self._path}: {_why(error)}")
                continue
            if reading is not None:
                self._signature, content = reading
                self._from_file = _Source(str(self._path), content)
                await self._settle()

    async def _watch_key(self, registry: Registry) -> None:
        async for changes in registry.watch(RULES):
            for change in changes:
                match change:
                    case Put(key=key, value=value) if key == RULES:
                        self._from_key = _Source(f"registry key {RULES}", value)
                    case Delete(key=key) if key == RULES:
                        self._from_key = None
            await self._settle()

    async def _settle(self) -> None:
        """Makes the source that counts now the one in use. One at a time, and each picks its source
        when its turn comes, so that a slow compile never overwrites what came after it."""
        async with self._settling:
            source = self._from_key or self._from_file
            if source == self._settled and self._last_error is None:
                return
            self._settled = source
            if rules_version(source.content) == self._current.rules_version:
                self._last_error = None  # what is in use already, offered again
                return
            if not source.content.strip():
                self._refuse(f"{source.where} is blank; write `rules = []` there to have no rules")
                return
            try:
                cascade = await asyncio.to_thread(self._build, source)
            except RuleError as error:
                self._refuse(f"new rules refused: {error.message}")
                return
            before, self._current = self._current, cascade
            self._last_error = None
            _LOG.info(
                "rules %s from %s take the place of %s",
                cascade.rules_version,
                source.where,
                before.rules_version,
            )
            if self._on_change is not None:
                self._on_change(cascade)

    def _build(self, source: _Source) -> Cascade:
        return build(source.content, source.where, self._fallback, self._arrange)

    def _refuse(self, problem: str) -> None:
        if (
            problem != self._last_error
        ):  # a file that stays away is told of once, not twice a second
            _LOG.error("%s; rules %s stay in use", problem, self.version)
        self._last_error = problem


def _read_if_new(path: Path, known: _Signature | None) -> tuple[_Signature, bytes] | None:
    """The file's signature and content, None when it is the one that is known.

    The signature is taken from the open file before it is read: a write during the reading shows at
    the next look. One byte too many is read of a file that is too large, and the check refuses it.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        signature = (status.st_mtime_ns, status.st_size, status.st_ino)
        if signature == known:
            return None
        return signature, file.read(MAX_FILE_BYTES + 1)


def _why(error: OSError) -> str:
    return error.strerror or str(error)

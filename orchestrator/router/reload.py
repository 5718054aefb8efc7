"""Rules that change while the orchestrator runs: from a file, and from the registry.

Two sources: a file, looked at every half second, and the registry's key ``config/rules``, which
wins while it exists, so that one write changes the rules of a whole fleet. New rules are checked
and compiled apart (``compiler``) and then take the place of the old ones in one assignment: a
decision uses the one set or the other, never a mixture. The newest win: what is still being
compiled when others come is given up. Rules with an error, or that take too long to compile, are
refused by name in the log and in this orchestrator's record, and those in use stay. So they do
while a source is blank, as a file is for a moment when an editor writes it, and a key after a slip;
``rules = []`` says that there shall be none.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mesh.cleaned import cleaned
from mesh.clock import Clock
from mesh.either import either
from mesh.errors import ConfigError, InternalError, RuleError
from mesh.fleet.records import RefusedRules, RulesStatus, rules_version
from mesh.registry.base import RULES, Delete, Put, Registry
from mesh.settings.shipped import shipped
from mesh.types import Specialty
from orchestrator.router.cascade import Cascade
from orchestrator.router.compiler import Compile, read_here
from orchestrator.router.rule_file import MAX_FILE_BYTES, RuleSet
from orchestrator.router.spec import Placed

POLL_S = 0.5
MOST_WHY = 400  # characters of a refusal, in the record

_LOG = logging.getLogger(__name__)
# (rules, where they are from) -> the stages in order, under them. In a thread, at each reload.
Arrange = Callable[[RuleSet, str], tuple[Placed, ...]]
_Signature = tuple[int, int, int]  # modification time in ns, size in bytes, inode


@dataclass(frozen=True, slots=True)
class _Source:
    where: str
    content: bytes
    version: str

    @classmethod
    def of(cls, where: str, content: bytes) -> _Source:
        return cls(where, content, rules_version(content))


def starter_rules() -> Path:
    """The rules that ship with the package (``configs/rules.toml``)."""
    return shipped("rules.toml")


class RulesReloader:
    """Keeps ``current`` up to date for as long as ``run`` runs; ``open`` it first.

    ``file`` None: the starter rules. ``registry`` None: only the file. ``clock`` paces the polling.
    ``on_change`` is called on the event loop after each swap and each refusal (to announce what
    ``status`` says). ``compile_rules`` checks a source, and makes ready for ``arrange``.

    Making one reads the file, blocking, and raises ``ConfigError``.
    """

    def __init__(
        self,
        *,
        fallback: Specialty,
        clock: Clock,
        arrange: Arrange,
        compile_rules: Compile = read_here,
        file: Path | None = None,
        registry: Registry | None = None,
        on_change: Callable[[Cascade], None] | None = None,
    ) -> None:
        self._arrange = arrange
        self._compile = compile_rules
        self._fallback = fallback
        self._clock = clock
        self._path = file if file is not None else starter_rules()
        self._registry = registry
        self._on_change = on_change
        self._from_key: _Source | None = None
        self._signature: _Signature | None = None
        self._from_file = self._first_reading()
        self._offered = asyncio.Event()
        self._settling: _Source | None = None
        self._judged: tuple[_Source, str] | None = None  # what was refused last, and why
        self._untried = False  # the newest could not be: they are tried again at the next look
        self._current: Cascade | None = None
        self._count = 0
        self._last_error: str | None = None
        self._refused: RefusedRules | None = None

    async def open(self) -> None:
        """Compiles the file's rules. Raises ``RuleError``: an orchestrator does not start on rules
        that are wrong, though it goes on when they become so. Again: does nothing."""
        if self._current is None:
            self._current, self._count = await self._built(self._from_file)

    @property
    def current(self) -> Cascade:
        """The cascade to decide with; ask for it anew at each request."""
        if self._current is None:
            raise InternalError("the rules are not open")
        return self._current

    @property
    def version(self) -> str:
        """Version of the rules in use."""
        return self.current.rules_version

    @property
    def last_error(self) -> str | None:
        """Why the newest rules were refused, or the file not read; None when all is well."""
        return self._last_error

    @property
    def status(self) -> RulesStatus:
        """What is in use, and what is not for all that it is newer."""
        return RulesStatus(version=self.version, count=self._count, refused=self._refused)

    async def run(self) -> None:
        """Watches both sources until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="rules")
            tasks.create_task(self._poll_file(), name="rules-file")
            if self._registry is not None:
                tasks.create_task(self._watch_key(self._registry), name="rules-key")

    def _first_reading(self) -> _Source:
        try:
            reading = _read_if_new(self._path, None)
        except OSError as error:
            raise ConfigError(f"cannot read the rules file {self._path}: {_why(error)}") from None
        self._signature, content = reading if reading is not None else (None, b"")
        return _Source.of(str(self._path), content)

    async def _poll_file(self) -> None:
        while True:
            await self._clock.sleep(POLL_S)
            if self._untried:
                self._untried = False
                self._offer()
            try:
                reading = await asyncio.to_thread(_read_if_new, self._path, self._signature)
            except OSError as error:
                # Editors replace files, disks go away: what is in use stays, and the next look may
                # find it again. Forgetting the signature makes that look a fresh one.
                self._signature = None
                self._refuse(None, f"cannot read the rules file {self._path}: {_why(error)}")
                continue
            if reading is not None:
                self._signature, content = reading
                self._from_file = _Source.of(str(self._path), content)
                self._offer()

    async def _watch_key(self, registry: Registry) -> None:
        async for changes in registry.watch(RULES):
            for change in changes:
                match change:
                    case Put(key=key, value=value) if key == RULES:
                        self._from_key = _Source.of(f"registry key {RULES}", value)
                    case Delete(key=key) if key == RULES:
                        self._from_key = None
            self._offer()

    @property
    def _source(self) -> _Source:
        """The one that counts now."""
        return self._from_key or self._from_file

    def _offer(self) -> None:
        if self._source != self._settling:  # else they are being compiled already
            self._offered.set()

    async def _follow(self) -> None:
        while True:
            self._offered.clear()
            source = self._settling = self._source
            # The newest win: who compiles older ones is cancelled, and that ends its process.
            await either(self._settle(source), self._offered.wait())
            self._settling = None
            await self._offered.wait()

    async def _settle(self, source: _Source) -> None:
        """Makes it the one in use."""
        if source.version == self.version:  # what is in use already, offered again
            self._settled()
        elif self._judged is not None and self._judged[0] == source:
            self._refuse(source, self._judged[1])
        elif not source.content.strip():
            why = f"{source.where} is blank; write `rules = []` there to have no rules"
            self._refuse(source, why)
        else:
            await self._swap(source)

    async def _swap(self, source: _Source) -> None:
        try:
            cascade, count = await self._built(source)
        except RuleError as error:
            why = f"new rules refused: {error.message}"
            self._judged = source, why
            self._refuse(source, why)
            return
        except ConfigError as error:
            self._untried = True
            self._refuse(source, error.message)
            return
        before, self._current, self._count = self.version, cascade, count
        _LOG.info("rules %s from %s take the place of %s", source.version, source.where, before)
        self._last_error = self._refused = None
        self._tell()

    async def _built(self, source: _Source) -> tuple[Cascade, int]:
        """Raises ``RuleError``, ``ConfigError``."""
        rules = await self._compile(source.content, source.where)
        stages = await asyncio.to_thread(self._arrange, rules, source.where)
        return Cascade(stages, rules.fallback or self._fallback, rules.version), len(rules.rules)

    def _settled(self) -> None:
        told = self._refused is not None
        self._last_error = self._refused = None
        if told:
            self._tell()

    def _refuse(self, source: _Source | None, problem: str) -> None:
        if problem == self._last_error:
            return  # a file that stays away is told of once, not twice a second
        _LOG.error("%s; rules %s stay in use", problem, self.version)
        self._last_error = problem
        self._refused = RefusedRules(
            version=source.version if source is not None else "",
            why=cleaned(problem, MOST_WHY),
            at=self._clock.wall(),
        )
        self._tell()

    def _tell(self) -> None:
        if self._on_change is not None:
            self._on_change(self.current)


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

"""Keeps a mesh's child processes: starts them, starts again what dies, and leaves none behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import STDOUT

from mesh import box
from mesh.backoff import exponential
from mesh.child.ending import collect, describe_exit, kill_group, terminate
from mesh.child.process import Process
from mesh.child.start import start
from mesh.cleaned import cleaned
from mesh.clock import Clock
from mesh.errors import ConfigError, InternalError, MeshError
from mesh.local import logs
from mesh.local.last_words import fatal, last, said
from mesh.local.plan import ChildSpec, ProcessKind

DRAIN_S = 12.0  # what nodes and the orchestrator get to finish their streams
ETCD_STOP_S = 2.0  # etcd goes last: the others still take their records out of it
STEADY_S = 60.0  # a child that lived this long starts again without a wait's history
LOG_CHECK_S = 10.0
MAX_BACKOFF_S = 10.0
WORDS_CHARS = 160  # of a child's last words, where they are told in passing
_LINES_READ, _LINES_TOLD, _LONGEST = 20_000, 8, 500
BAD_SETTINGS = 2  # an exit code of ours that no restart can mend; Go's panics have it too
_OURS = (ProcessKind.NODE, ProcessKind.ORCHESTRATOR)

Report = Callable[[str], None]


class Supervisor:
    """The children of one mesh. ``run`` owns them until it is cancelled, then stops them.

    Until ``settled`` is called, a child that ends ends everything; from then on it is started
    again. ``report`` gets one line for each thing worth knowing.
    """

    def __init__(
        self, specs: Sequence[ChildSpec], *, log_dir: Path, report: Report, clock: Clock
    ) -> None:
        self._specs = specs
        self._log_dir = log_dir
        self._report = report
        self._clock = clock
        self._processes: dict[str, Process] = {}
        self._settled = False
        self._hurry = asyncio.Event()

    def pid(self, name: str) -> int | None:
        """The child's process id while it lives."""
        process = self._processes.get(name)
        return process.pid if process is not None and process.returncode is None else None

    def log_path(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"

    def settled(self) -> None:
        """The mesh is up: from now on a child that dies is started again."""
        self._settled = True

    def hurry(self) -> None:
        """Do not wait for draining any longer."""
        self._hurry.set()

    async def run(self) -> None:
        """Until cancelled; then stops all within 15 s. Raises ``MeshError`` when a child ends
        before ``settled``: ``ConfigError`` for bad settings, else ``InternalError``."""
        for spec in self._specs:
            logs.start_afresh(self.log_path(spec.name))
        try:
            async with asyncio.TaskGroup() as group:
                for spec in self._specs:
                    group.create_task(self._keep(spec))
                group.create_task(self._bound_logs())
        finally:
            await self._stop_all()

    async def _keep(self, spec: ChildSpec) -> None:
        failures = 0
        while True:
            began = self._clock.now()
            process = await self._spawn(spec)
            code = await process.wait()
            # Its own children are tied to it and gone with it; this is for those that are not.
            kill_group(process)
            if not self._settled:
                raise self._startup_failure(spec, code)
            if code == BAD_SETTINGS and spec.part in _OURS:
                self._report(f"{spec.name} ended: {self._last_words(spec)}; not starting it again")
                return
            failures = 1 if self._clock.now() - began >= STEADY_S else failures + 1
            delay = exponential(failures, cap_s=MAX_BACKOFF_S)
            self._report(
                f"{spec.name} died ({describe_exit(code)}){self._why(spec, code)}; starting again "
                f"in {delay:g} s"
            )
            await self._clock.sleep(delay)

    async def _spawn(self, spec: ChildSpec) -> Process:
        log = logs.open_for_child(self.log_path(spec.name))
        try:
            # The terminal's Ctrl-C reaches the supervisor only, which then stops its children in
            # order.
            process = await start(spec.command, stdout=log, stderr=STDOUT)
        finally:
            os.close(log)
        self._processes[spec.name] = process
        return process

    async def _bound_logs(self) -> None:
        while True:
            await self._clock.sleep(LOG_CHECK_S)
            for path in self._log_dir.glob("*.log"):  # our own, when detached, is one of them
                await asyncio.to_thread(logs.bound, path)

    def last_words(self, name: str) -> str:
        """What a child said last, "" for nothing, and for etcd's running remarks, which are about
        what it does to itself."""
        lines = self._lines(name)
        if not lines or lines[-1].startswith("{"):
            return ""
        return cleaned(last(lines), WORDS_CHARS)

    def _last_words(self, spec: ChildSpec) -> str:
        """Why it ended, in a sentence. A full disk takes even the words."""
        words = cleaned(last(self._lines(spec.name)), _LONGEST)
        full = box.full_disk(self._log_dir)
        if full is None or "no space left" in words.lower():
            return words or "it said nothing"
        return f"{words} ({full})" if words else full

    def _why(self, spec: ChildSpec, code: int) -> str:
        """``: failed to create WAL: ...`` for one that ended by itself and said why, else ""."""
        words = fatal(self._lines(spec.name)) if code > 0 else ""
        return f": {cleaned(words, WORDS_CHARS)}" if words else ""

    def _lines(self, name: str) -> list[str]:
        return logs.tail(self.log_path(name), _LINES_READ)

    def _startup_failure(self, spec: ChildSpec, code: int) -> MeshError:
        path = self.log_path(spec.name)
        for line in said(self._lines(spec.name))[-_LINES_TOLD:]:
            self._report(f"  {spec.name}: {cleaned(line, _LONGEST)}")
        kind = ConfigError if code == BAD_SETTINGS and spec.part in _OURS else InternalError
        return kind(
            f"{spec.name} ended while starting ({describe_exit(code)}): "
            f"{self._last_words(spec)}; its log is {path}"
        )

    async def _stop_all(self) -> None:
        etcd = [s.name for s in self._specs if s.part is ProcessKind.ETCD]
        rest = [s.name for s in self._specs if s.part is not ProcessKind.ETCD]
        await self._stop(rest, DRAIN_S)
        await self._stop(etcd, ETCD_STOP_S)

    async def _stop(self, names: Sequence[str], within_s: float) -> None:
        live = [
            process
            for name in names
            if (process := self._processes.get(name)) is not None and process.returncode is None
        ]
        for process in live:
            terminate(process)
        if live:
            async with asyncio.TaskGroup() as group:
                gone = group.create_task(_all_gone(live))
                hurry = group.create_task(self._hurry.wait())
                await asyncio.wait(
                    (gone, hurry), timeout=within_s, return_when=asyncio.FIRST_COMPLETED
                )
                gone.cancel()
                hurry.cancel()
        for process in live:
            await collect(process)


async def _all_gone(processes: Sequence[Process]) -> None:
    for process in processes:
        await process.wait()

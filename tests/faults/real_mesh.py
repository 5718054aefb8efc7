"""A mesh of real processes that can be killed, stopped, started again, and leaves none behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.mesh.fakes import ROUTER, RULES

MARK = "SQUADRON_FAULT_RUN"  # in the environment of every process of a run, runners included
END_S = 15.0


@dataclass(slots=True, eq=False)
class Box:
    """One agent or orchestrator: the same settings at every start, so the same identity."""

    name: str
    command: tuple[str, ...]
    folder: Path
    mark: str
    process: subprocess.Popen[bytes] | None = None
    stopped: bool = False

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self.process.pid

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | {MARK: self.mark},
            )
        self.stopped = False

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def stop(self) -> None:
        self.stopped = True
        self.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.stopped = False
        self.signal(signal.SIGCONT)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.ended()

    async def ended(self, within_s: float = END_S) -> None:
        """Waits for its end, and kills it when that does not come in time."""
        process, self.process = self.process, None
        if process is None:
            return
        try:
            await asyncio.to_thread(process.wait, within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
            raise AssertionError(f"{self.name} did not end within {within_s} s") from None

    def runners(self) -> list[psutil.Process]:
        if self.process is None:
            return []
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


@dataclass(slots=True, kw_only=True)
class RealMesh:
    """Nodes with the simulated engine, and orchestrators; made by ``real_mesh``."""

    folder: Path
    etcd: str
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    nodes: list[Box] = field(default_factory=list)
    orchestrators: list[Box] = field(default_factory=list)
    endpoints: list[str] = field(default_factory=list)

    def node(self, name: str, slots: int = 4, **options: Any) -> Box:
        model = {
            "source": "simulated",
            "id": "sim",
            "engine": "simulated",
            "specialties": ["math"],
            "slots": slots,
            "options": options,
        }
        box = self._box(name, "node", {"models": [model]})
        self.nodes.append(box)
        return box

    def orchestrator(self, name: str, port: int, **settings: Any) -> Box:
        rules = self.folder / "rules.toml"
        rules.write_text(RULES)
        endpoint = f"127.0.0.1:{port}"
        given = {"bind": endpoint, "rules": str(rules), "router": ROUTER}
        box = self._box(name, "orchestrator", given | settings)
        self.orchestrators.append(box)
        self.endpoints.append(endpoint)
        return box

    def processes(self) -> list[psutil.Process]:
        """Everything of this run that lives, whoever its parent is by now."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    async def end(self) -> list[str]:
        """Ends all in good order; returns what was still there afterwards, by then killed."""
        for box in (*self.nodes, *self.orchestrators):
            box.go_on()
            box.signal(signal.SIGTERM)
        for box in (*self.nodes, *self.orchestrators):
            await box.ended()
        await gone(lambda: not self.processes(), 5.0)
        return [f"{p.pid} {p.cmdline()}" for p in self.kill_all()]

    def kill_all(self) -> list[psutil.Process]:
        left = self.processes()
        for process in left:
            process.kill()
        return left

    def _box(self, name: str, package: str, settings: dict[str, Any]) -> Box:
        folder = self.folder / name
        folder.mkdir()
        common = {"name": name, "state_dir": str(folder), "etcd": self.etcd}
        command = ("-m", package, json.dumps(common | settings))
        return Box(name, command, folder, self.mark)


@contextmanager
def real_mesh(folder: Path, etcd: str) -> Iterator[RealMesh]:
    """Kills whatever of it is left at the end of the block."""
    made = RealMesh(folder=folder, etcd=etcd)
    try:
        yield made
    finally:
        made.kill_all()
        for box in (*made.nodes, *made.orchestrators):
            if box.process is not None:
                box.process.wait()


async def gone(holds: Callable[[], bool], within_s: float) -> bool:
    """Whether it comes to hold in time."""
    try:
        async with asyncio.timeout(within_s):
            while not holds():  # noqa: ASYNC110 - other processes' doing
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return True

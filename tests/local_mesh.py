"""Runs `mesh` as people do, in real processes, and finds whatever such a run left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from mesh.local.ports import free_port

WAIT_S = 60.0
_MARK = "MESH_TEST_MARK"


@dataclass
class Box:
    """One state folder with ports of its own. Every process that comes of it carries a mark."""

    state_dir: Path
    endpoint: str = field(default_factory=lambda: f"127.0.0.1:{free_port()}")
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            _MARK: self.mark,
            "MESH_STATE_DIR": str(self.state_dir),
            "MESH_ENDPOINT": self.endpoint,
            "MESH_ETCD_PORT": "0",
            "COLUMNS": "80",
        }

    def mesh(
        self, *arguments: str, timeout_s: float = 2 * WAIT_S, stdin: bytes | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "mesh.cli", *arguments],
            env=self.environment,
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def start(self, *arguments: str, output: Path) -> subprocess.Popen[bytes]:
        """In the background of the test, in a session of its own as in a terminal."""
        with output.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "mesh.cli", *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def start_endless(self, output: Path) -> subprocess.Popen[bytes]:
        """A node of its own, through `mesh node`, whose answers (specialty ``endless``) go on and
        on at 100 tokens/s. Ends with the test's box at the latest."""
        config = self.state_dir / "endless.toml"
        config.write_text(
            f'name = "endless"\netcd = "{self.run_file()["etcd"]}"\n[[models]]\n'
            'source = "endless"\nspecialties = ["endless"]\nengine = "simulated"\n'
            "context_length = 1000000\n[models.options]\nwords = 900000\nbase_ms = 10.0\n"
        )
        process = self.start("node", "--config", str(config), output=output)
        wait_for(lambda: self.status().get("endless", {}).get("link_up"), "the endless node is up")
        return process

    def status(self) -> dict[str, dict[str, Any]]:
        """The nodes by name."""
        done = self.mesh("status", "--json")
        assert done.returncode == 0, done.stderr
        return {node["name"]: node for node in json.loads(done.stdout)["nodes"]}

    def supervisor(self) -> int:
        return int(self.run_file()["pid"])

    def run_file(self) -> dict[str, Any]:
        """What `mesh up` wrote about itself."""
        found: dict[str, Any] = json.loads((self.state_dir / "mesh.json").read_text())
        return found

    def processes(self) -> list[psutil.Process]:
        """All that live and carry the mark, this test's own process aside."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if (
                    process.environ().get(_MARK) == self.mark
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found

    def describe(self) -> str:
        """What still runs, for a failed assertion."""
        lines = []
        for process in self.processes():
            with suppress(psutil.Error):
                lines.append(f"{process.pid} {' '.join(process.cmdline())[:120]}")
        return "\n".join(lines)


def wait_for(condition: Callable[[], object], what: str, within_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)


@contextmanager
def box(state_dir: Path) -> Iterator[Box]:
    """Kills what the test leaves, whatever happened."""
    made = Box(state_dir)
    try:
        yield made
    finally:
        for process in made.processes():
            with suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)

"""Which of a mesh's nodes the `mesh up` of a state folder started: those it may also end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mesh.errors import ConfigError
from mesh.fleet.records import NodeRecord
from mesh.local import run_file
from mesh.local.node_process import NodeProcess, find


def started_by(state_dir: Path) -> Callable[[NodeRecord], NodeProcess]:
    """``find``, for children of that mesh's supervisor alone; it raises ``ConfigError`` for all
    others."""
    run = run_file.running(state_dir)

    def own(record: NodeRecord) -> NodeProcess:
        process = find(record)
        if run is None or process.parent != run.pid:
            process.close()
            raise ConfigError(
                f"node {record.name} (pid {process.pid}) was not started by a `mesh up` of "
                f"{state_dir}; nothing is killed without --yes"
            )
        return process

    return own

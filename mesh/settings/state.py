"""The folder that outlives a process."""

from __future__ import annotations

import os
from pathlib import Path

RUN_FILE = "mesh.json"  # in it: where the mesh that `mesh up` started listens


def state_dir() -> Path:
    """Where identity, logs and etcd's data live: ``$MESH_STATE_DIR``, else XDG's."""
    if explicit := os.environ.get("MESH_STATE_DIR"):
        return Path(explicit).expanduser().resolve()
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # "should consider the path invalid and ignore it"
        base = Path("~/.local/state")
    return base.expanduser() / "squadron"

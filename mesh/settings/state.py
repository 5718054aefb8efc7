"""The folder that outlives a process."""

from __future__ import annotations

import os
from pathlib import Path

from mesh.errors import ConfigError

RUN_FILE = "mesh.json"  # in it: where the mesh that `mesh up` started listens


def state_dir() -> Path:
    """Where identity, logs and etcd's data live: ``$MESH_STATE_DIR``, else XDG's. Raises
    ``ConfigError``."""
    base = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not base.is_absolute():  # "should consider the path invalid and ignore it"
        base = Path("~/.local/state")
    try:
        if explicit := os.environ.get("MESH_STATE_DIR"):
            return Path(explicit).expanduser().resolve()
        return base.expanduser() / "squadron"
    except RuntimeError:
        raise ConfigError(
            "this user has no home folder ($HOME is not set, and nothing else says where it is); "
            "say where the state is to be with $MESH_STATE_DIR"
        ) from None

"""Who this orchestrator is, for good: an id on disk that survives restarts.

It holds no state but this. Two processes of one name cannot share a port, and the registry refuses
the second where they do not, so there is no lock here.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import ConfigError
from mesh.types import OrchestratorId

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ID_PATTERN = re.compile(r"orch-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """``id`` never changes; ``instance`` is new at every start."""

    id: OrchestratorId
    instance: str


def identify(state_dir: Path, name: str) -> Identity:
    """The identity in ``<state_dir>/orchestrators/<name>/id``, made at first use. Blocks on the
    disk. Raises ``ConfigError`` for a bad name, a damaged file, or a folder without permission."""
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError(
            f"orchestrator name '{name}' is not usable: letters, digits, '.', '_' and '-', "
            "starting with a letter or digit, at most 64"
        )
    path = state_dir / "orchestrators" / name / "id"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="ascii").strip() if path.exists() else _make(path)
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise ConfigError(
            f"cannot keep this orchestrator's id in {path}: {error.strerror}; "
            "give another state_dir"
        ) from None
    if not _ID_PATTERN.fullmatch(text):
        raise ConfigError(
            f"{path} is damaged: it does not hold 'orch-' and 16 hex digits; delete it to let this "
            "orchestrator join under a new id"
        )
    return Identity(id=OrchestratorId(text), instance=secrets.token_hex(8))


def _make(path: Path) -> str:
    """Written beside, synced, then renamed: after a power cut there is a whole file or none."""
    text = f"orch-{secrets.token_hex(8)}"
    draft = path.with_name(f".id-{os.getpid()}")
    with draft.open("w", encoding="ascii") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return text

"""Who this orchestrator is. It holds no state but its id: two processes of one name cannot share a
port, and the registry refuses the second where they do not, so there is no lock here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mesh.identity import check_name, fresh_instance, kept_id
from mesh.types import OrchestratorId


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """``id`` never changes; ``instance`` is new at every start."""

    id: OrchestratorId
    instance: str


def identify(state_dir: Path, name: str) -> Identity:
    """The identity in ``<state_dir>/orchestrators/<name>/id``, made at first use. Blocks on the
    disk. Raises ``ConfigError`` for a bad name, a damaged file, or a folder without permission."""
    check_name("orchestrator", name)
    known = kept_id(state_dir / "orchestrators" / name / "id", who="orchestrator", prefix="orch")
    return Identity(id=OrchestratorId(known), instance=fresh_instance())

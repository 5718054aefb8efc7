"""The orchestrator's ``[router]`` settings. Each stage's own table is the stage's affair: here it
is plain data by the stage's name, and ``orchestrator/router/chosen.py`` has it read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mesh.errors import ConfigError
from mesh.settings.load import TABLES, check_range
from mesh.types import SPECIALTY_PATTERN

# The usual stages, cheapest first; those whose parts are not installed are left out.
DEFAULT = ("memo", "exact", "rules", "conversation", "classifier", "embedding")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLogSettings:
    """``file``: where decisions go, one JSON line each; None: nowhere. ``prompts``: ``redacted``
    (words that are not the language's common ones are masked) or ``full``. ``max_bytes``: then the
    file is begun anew, and one older one kept."""

    file: str | None = None
    prompts: str = "redacted"
    max_bytes: int = 64 * 1024 * 1024

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        check_range(where, "max_bytes", 4096, self.max_bytes, 2**40)
        if self.prompts not in ("redacted", "full"):
            raise ConfigError(f"{where}.prompts must be 'redacted' or 'full', not '{self.prompts}'")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """``stages``: asked in this order; None: the usual ones. ``substitutes``: who answers for a
    specialty that nobody serves, be it decided or asked for by name. ``notes_in_traces``: stages'
    notes on spans, too; some quote the prompt, so they are for ``mesh route`` and the client alone
    unless this is set. ``tables``: the other tables of ``[router]``, each a stage's own."""

    stages: tuple[str, ...] | None = None
    notes_in_traces: bool = False
    substitutes: dict[str, str] = field(
        default_factory=lambda: {"calculator": "math", "units": "math"}
    )
    log: DecisionLogSettings = field(default_factory=DecisionLogSettings)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict, metadata=TABLES)

    def check(self, where: str) -> None:
        """What types cannot say, but for the stages. Raises ``ConfigError``."""
        if self.stages is not None:
            if not self.stages:
                raise ConfigError(
                    f"{where}: router.stages is empty, so that nothing would ever be decided; name "
                    "stages, or leave it out for the usual ones"
                )
            if len(set(self.stages)) < len(self.stages):
                raise ConfigError(f"{where}: router.stages names a stage twice")
        self._check_substitutes(where)
        self.log.check(f"{where}: router.log")

    def _check_substitutes(self, where: str) -> None:
        for specialty, other in self.substitutes.items():
            for name in (specialty, other):
                if not SPECIALTY_PATTERN.fullmatch(name):
                    raise ConfigError(
                        f"{where}: router.substitutes: '{name}' is not a specialty name"
                    )
            seen = {specialty}
            while other not in seen and other in self.substitutes:
                seen.add(other)
                other = self.substitutes[other]
            if other in seen:
                raise ConfigError(
                    f"{where}: router.substitutes goes round in a circle at '{specialty}'"
                )

"""The stages of one orchestrator: made once from its settings, and renewed with each rule set."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace

import msgspec

from mesh.clock import Clock
from mesh.manners import DEFAULT_MANNER
from mesh.settings.router import DecisionLogSettings, RouterSettings
from mesh.types import Manner
from orchestrator.router.chosen import Chosen, choose
from orchestrator.router.compiled import CompiledRules
from orchestrator.router.rule_file import RuleSet
from orchestrator.router.spec import AskMesh, Placed, StageParts

_LOG = logging.getLogger(__name__)


class Stages:
    """``ask``: how a stage asks a model of the mesh. ``clock``: for ages, dates and lifetimes.
    ``cache``: where compiled rules are kept, None: nowhere.

    Raises ``ConfigError`` for a setting that is wrong, and for a stage whose parts are not there or
    whose data is wrong; only usual stages that the settings do not name may be missing.
    """

    def __init__(
        self,
        settings: RouterSettings,
        clock: Clock,
        *,
        ask: AskMesh,
        cache: CompiledRules | None = None,
        manners: Mapping[str, Manner] | None = None,
    ) -> None:
        chosen = choose(settings)
        self._left_out = chosen.left_out
        self.salt = salt_of(settings, chosen, manners or {})
        wanted = {name for spec, _ in chosen.order for name in spec.after}
        parts = StageParts(clock=clock, ask=ask, salt=self.salt, cache=cache)
        self._made = tuple(
            Placed(spec, spec.make(own, replace(parts, leaned_on=spec.name in wanted)))
            for spec, own in chosen.order
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(placed.spec.name for placed in self._made)

    def arrange(self, rules: RuleSet, where: str) -> tuple[Placed, ...]:
        """All stages in order, under these rules. Blocks while they are compiled. Raises
        ``RuleError``; ``where`` names the rules' source there."""
        return tuple(
            placed
            if placed.spec.renewed is None
            else Placed(placed.spec, placed.spec.renewed(placed.stage, rules, where))
            for placed in self._made
        )

    async def run(self) -> None:
        """What the stages live on: connections, child processes, threads; until cancelled."""
        left_out = "".join(f"; not {reason}" for reason in self._left_out)
        _LOG.info("stages: %s%s", ", ".join(self.names), left_out)
        async with asyncio.TaskGroup() as group:
            for placed in self._made:
                if not placed.spec.quick:
                    group.create_task(placed.stage.run(), name=f"stage {placed.spec.name}")


def salt_of(settings: RouterSettings, chosen: Chosen, manners: Mapping[str, Manner]) -> str:
    """Of all that decides: orchestrators that share a memory and decide otherwise, or answer in
    other manners, must not replay others' routes."""
    decisive = (
        replace(settings, tables={}, log=DecisionLogSettings(), notes_in_traces=False),
        {spec.name: own for spec, own in chosen.order if not spec.remembers},
        sorted(manners.items()),
        DEFAULT_MANNER,
    )
    return hashlib.sha256(msgspec.json.encode(decisive)).hexdigest()[:12]

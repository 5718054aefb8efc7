"""The stages of one orchestrator: made once from its settings, and put around each new rule set."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from mesh.clock import Clock
from mesh.errors import ConfigError
from mesh.exact.solver.process import SolverProcess
from mesh.settings.router import DecisionLogSettings, MemoSettings, RouterSettings
from orchestrator.memo.choice import memo_of
from orchestrator.router.base import SlowStage, Stage
from orchestrator.router.classifier import ClassifierStage
from orchestrator.router.conversation import ConversationStage
from orchestrator.router.embedding import EmbeddingStage
from orchestrator.router.exact import ExactStage
from orchestrator.router.judge import Ask, JudgeStage
from orchestrator.router.memo import MemoStage
from orchestrator.router.minilm import EMBED_MISSING, missing_parts
from orchestrator.router.rules import RulesStage

_LOG = logging.getLogger(__name__)

DEFAULT = ("memo", "exact", "rules", "conversation", "classifier", "embedding")

# What the classifier must be sure of where the next stage knows better than it: with sources held
# out, the two together are right more often than either.
SURE = 0.9


class Stages:
    """``ask``: how the judge asks a model of the mesh. ``clock``: for ages, dates and lifetimes.

    Raises ``ConfigError`` for a stage whose parts are not there or whose data is wrong; only
    ``embedding`` may be missing, unless the settings name it.
    """

    def __init__(self, settings: RouterSettings, clock: Clock, *, ask: Ask) -> None:
        self._clock = clock
        self._names = names_of(settings)
        # Orchestrators that share a memory and decide otherwise must not replay others' routes.
        decisive = replace(
            settings, memo=MemoSettings(), log=DecisionLogSettings(), notes_in_traces=False
        )
        self._salt = hashlib.sha256(msgspec.json.encode(decisive)).hexdigest()[:12]
        self._memo = memo_of(settings.memo, clock) if "memo" in self._names else None
        self._solver = SolverProcess(settings.exact.memory_bytes, clock=clock)
        chosen = settings.classifier
        threshold = chosen.threshold
        if threshold is None and "embedding" in self._names:
            threshold = SURE
        makers: dict[str, Callable[[], Stage | SlowStage]] = {
            "exact": lambda: ExactStage(self._solver, clock, settings.exact),
            "conversation": ConversationStage,
            "classifier": lambda: ClassifierStage(
                Path(chosen.weights).expanduser() if chosen.weights else None,
                threshold=threshold,
                margin=chosen.margin,
            ),
            "embedding": lambda: EmbeddingStage(settings.embedding),
            "judge": lambda: JudgeStage(ask, settings.judge),
        }
        self._made = {name: makers[name]() for name in self._names if name in makers}
        self._left_out = settings.stages is None and "embedding" not in self._names

    def arrange(self, rules: RulesStage, version: str) -> tuple[Stage | SlowStage, ...]:
        """All stages in order, with this rule set; ``version`` is the rules'."""
        placed: dict[str, Stage | SlowStage] = {**self._made, "rules": rules}
        if self._memo is not None:
            placed["memo"] = MemoStage(self._memo, f"{version}/{self._salt}", self._clock)
        return tuple(placed[name] for name in self._names)

    async def run(self) -> None:
        """What the stages live on: connections, child processes, threads; until cancelled."""
        _LOG.info(
            "stages: %s%s",
            ", ".join(self._names),
            "; not embedding, whose parts are not installed (`make embed`)"
            if self._left_out
            else "",
        )
        async with asyncio.TaskGroup() as group:
            if self._memo is not None:
                group.create_task(self._memo.run(), name="memo")
            for name, stage in self._made.items():
                run = getattr(stage, "run", None)
                if run is not None:
                    group.create_task(run(), name=f"stage {name}")


def names_of(settings: RouterSettings) -> tuple[str, ...]:
    """The stages in order: those that the settings name, else the usual ones that can run here.
    Raises ``ConfigError``."""
    missing = missing_parts()
    if settings.stages is None:
        return tuple(name for name in DEFAULT if name != "embedding" or not missing)
    if "embedding" in settings.stages and missing:
        raise ConfigError(EMBED_MISSING.format(missing=" and ".join(missing)))
    return settings.stages

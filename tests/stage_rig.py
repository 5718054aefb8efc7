"""Stages in their places, for tests: real ones as they describe themselves, stand-ins by what they
can do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from orchestrator.router.spec import Placed, StageParts, StageSpec


def placed(*stages: Any) -> tuple[Placed, ...]:
    """A stand-in has a ``name``, and ``decide`` or ``consult``; one that is called ``exact`` has
    whole answers."""
    return tuple(_placed(stages))


def _placed(stages: tuple[Any, ...]) -> Iterator[Placed]:
    for stage in stages:
        spec = getattr(sys.modules[type(stage).__module__], "SPEC", None)
        if not isinstance(spec, StageSpec):
            spec = StageSpec(
                name=stage.name,
                make=_never,
                quick=hasattr(stage, "decide"),
                answers=stage.name == "exact",
            )
        yield Placed(spec, stage)


def _never(_: Any, __: StageParts) -> Any:
    raise AssertionError("made already")

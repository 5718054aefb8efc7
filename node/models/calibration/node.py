"""A node's calibration as a whole: which of its runners are measured, and what is known of each."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mesh.clock import Clock
from mesh.fleet.records import ModelRecord
from mesh.types import ModelId, Usage
from node.engines.base import ModelSpec
from node.engines.registry import traits_of
from node.engines.traits import EngineTraits
from node.models.calibration.plan import BUDGET_S
from node.models.calibration.quiet import Quiet
from node.models.calibration.runner import MeasuredRunner
from node.models.calibration.speeds import Speeds, Typical, expected_wait_s
from node.models.calibration.store import Store
from node.models.hosted import Runner


class Calibration:
    """``folder``: the node's state. What it knows is bounded by the models that the node hosts.
    ``measured``: which engines are; ``box``: see ``Quiet``."""

    def __init__(
        self,
        folder: Path,
        *,
        clock: Clock,
        rng: random.Random,
        measured: Callable[[EngineTraits[Any]], bool] = lambda traits: traits.measured,
        budget_s: float = BUDGET_S,
        box: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._store = Store(folder)
        self._quiet = Quiet(clock, box)
        self._clock = clock
        self._rng = rng
        self._measured = measured
        self._budget_s = budget_s
        self._speeds: dict[str, Speeds] = {}
        self._typical: dict[str, Typical] = {}

    def runner(
        self,
        engine: str,
        spec: ModelSpec,
        on_change: Callable[[], None],
        make: Callable[[Callable[[], None]], Runner],
    ) -> Runner:
        """What ``make`` makes, measured where its engine is one to measure. Raises ``ConfigError``
        for an engine that is not installed."""
        traits = traits_of(engine)
        return MeasuredRunner(
            traits.version,
            spec,
            make,
            on_change=on_change,
            on_speeds=lambda speeds: self._speeds.__setitem__(spec.id, speeds),
            store=self._store,
            quiet=self._quiet,
            clock=self._clock,
            rng=self._rng,
            measured=self._measured(traits),
            budget_s=self._budget_s,
        )

    def speeds(self, model: ModelId) -> Speeds | None:
        return self._speeds.get(model)

    def typical(self, model: ModelId) -> Typical:
        return self._typical.get(model, Typical())

    def answered(self, model: ModelId, usage: Usage) -> None:
        """An answer of a model that this node hosts has ended well."""
        self._typical[model] = self.typical(model).after(
            prompt=usage.prompt_tokens,
            cached=usage.cached_tokens,
            completion=usage.completion_tokens,
        )

    def drop(self, model: ModelId) -> None:
        """The node hosts it no more; another may have its id next."""
        self._speeds.pop(model, None)
        self._typical.pop(model, None)

    def expected_wait_s(
        self, model: ModelId, *, queued: int, used: int, slots: int
    ) -> float | None:
        """See ``node.models.calibration.speeds``; None where its speeds are not known."""
        return expected_wait_s(
            queued=queued,
            used=used,
            slots=slots,
            speeds=self.speeds(model),
            typical=self.typical(model),
        )

    def told(self, record: ModelRecord) -> ModelRecord:
        """The record with what was measured."""
        speeds = self.speeds(record.id)
        if speeds is None:
            return record
        return replace(
            record,
            prefill_tps=speeds.prefill_tps,
            decode_tps=speeds.decode_tps,
            decode_tps_half=speeds.decode_tps_half,
            decode_tps_full=speeds.decode_tps_full,
        )

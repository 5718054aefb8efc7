"""What a run is to do: frozen and checked before anything is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mesh import RequestOptions
from mesh.bench.arrivals import Load
from mesh.bench.faults import FaultEvent, check_within
from mesh.bench.objective import Objective
from mesh.durations import written
from mesh.errors import ConfigError
from mesh.types import SaidSampling
from mesh.validation import check_sampling

LONGEST_RUN_S = 24 * 3600.0  # a row a second: 86,400 of them are what a report can hold
MAX_REQUESTS = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTemplate:
    """What every request says beside its prompt; ``timeout_s``: its whole budget in seconds."""

    specialty: str | None = None
    model: str | None = None
    max_tokens: int = 64
    temperature: float = 0.0
    timeout_s: float = 60.0

    def options(self) -> RequestOptions:
        return RequestOptions(
            specialty=self.specialty,
            model=self.model,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            timeout_s=self.timeout_s,
            cacheable=False,  # it is the mesh that is measured, not its memory
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProfile:
    """Exactly one of ``duration_s`` and ``requests`` is set. ``warmup``: requests before the
    measured run. ``seed``: of arrivals, prompts and random faults. Raises ``ConfigError``, and
    ``InvalidRequest`` for what no orchestrator would take."""

    load: Load
    duration_s: float | None = None
    requests: int | None = None
    warmup: int = 0
    seed: int = 1
    objective: Objective = field(default_factory=Objective)
    faults: tuple[FaultEvent, ...] = ()
    template: RequestTemplate = field(default_factory=RequestTemplate)

    def __post_init__(self) -> None:
        if (self.duration_s is None) == (self.requests is None):
            raise ConfigError("say either --duration or --requests")
        if self.duration_s is not None:
            if not 0 < self.duration_s <= LONGEST_RUN_S:
                raise ConfigError(
                    f"--duration must be above 0 and at most {written(LONGEST_RUN_S)}, not "
                    f"{self.duration_s:g}"
                )
            check_within(self.faults, self.duration_s)
        if self.requests is not None and not 1 <= self.requests <= MAX_REQUESTS:
            raise ConfigError(f"--requests must be 1 to {MAX_REQUESTS}, not {self.requests}")
        if not 0 <= self.warmup <= MAX_REQUESTS:
            raise ConfigError(f"--warmup must be 0 to {MAX_REQUESTS}, not {self.warmup}")
        if not (math.isfinite(self.template.timeout_s) and self.template.timeout_s > 0):
            raise ConfigError(f"--timeout must be above 0 seconds, not {self.template.timeout_s:g}")
        check_sampling(
            SaidSampling(max_tokens=self.template.max_tokens, temperature=self.template.temperature)
        )

    @property
    def until_s(self) -> float:
        """Seconds into the run after which no request is due."""
        return self.duration_s if self.duration_s is not None else LONGEST_RUN_S

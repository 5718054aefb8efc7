"""The orchestrator's ``[router]`` settings: which stages are asked, in which order, and how sure
each of them has to be."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.errors import ConfigError
from mesh.types import SPECIALTY_PATTERN

STAGES = ("memo", "exact", "rules", "conversation", "classifier", "embedding", "judge")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoSettings:
    """Earlier answers. ``max_bytes``: of all of them; ``max_answer_bytes``: of one; ``ttl_s``:
    seconds that one is kept. ``redis``: URL of a server that orchestrators share, None: each keeps
    its own; ``redis_timeout_ms``: how long a look there may take."""

    max_bytes: int = 64 * 1024 * 1024
    max_answer_bytes: int = 256 * 1024
    ttl_s: float = 3600.0
    redis: str | None = None
    redis_timeout_ms: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactSettings:
    """Tools on the CPU. ``timeout_ms``: for what needs the solver's process, after which the next
    stage is asked; ``memory_bytes``: that process may have."""

    timeout_ms: float = 2000.0
    memory_bytes: int = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSettings:
    """``threshold``: least probability, ``margin``: least lead over the next specialty, None: what
    the weights were calibrated for. ``weights``: a file, None: those that ship."""

    threshold: float | None = None
    margin: float | None = None
    weights: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSettings:
    """As ``ClassifierSettings``. ``timeout_ms``: for one prompt. ``threads``: of the CPU."""

    threshold: float | None = None
    margin: float | None = None
    timeout_ms: float = 250.0
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    """``model``: of the mesh, None: whichever serves ``specialty``. ``timeout_ms``: for one
    verdict. ``remembered``: verdicts kept by prompt hash."""

    model: str | None = None
    specialty: str = "chat"
    timeout_ms: float = 1500.0
    remembered: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLogSettings:
    """``file``: where decisions go, one JSON line each; None: nowhere. ``prompts``: ``redacted``
    (words that are not the language's common ones are masked) or ``full``. ``max_bytes``: then the
    file is begun anew, and one older one kept."""

    file: str | None = None
    prompts: str = "redacted"
    max_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """``stages``: asked in this order; None: all but ``judge``, and ``embedding`` where its parts
    are installed. ``substitutes``: who answers for a specialty that nobody serves, be it decided
    or asked for by name. ``notes_in_traces``: stages' notes on spans, too; some quote the prompt,
    so they are for ``mesh route`` and the client alone unless this is set."""

    stages: tuple[str, ...] | None = None
    notes_in_traces: bool = False
    substitutes: dict[str, str] = field(
        default_factory=lambda: {"calculator": "math", "units": "math"}
    )
    memo: MemoSettings = field(default_factory=MemoSettings)
    exact: ExactSettings = field(default_factory=ExactSettings)
    classifier: ClassifierSettings = field(default_factory=ClassifierSettings)
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)
    judge: JudgeSettings = field(default_factory=JudgeSettings)
    log: DecisionLogSettings = field(default_factory=DecisionLogSettings)

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        check_router(self, where)


def check_router(router: RouterSettings, where: str) -> None:
    """What types cannot say. Raises ``ConfigError``."""
    stages = router.stages if router.stages is not None else STAGES
    if not stages:
        raise ConfigError(
            f"{where}: router.stages is empty, so that nothing would ever be decided; name stages, "
            "or leave it out for the usual ones"
        )
    for stage in stages:
        if stage not in STAGES:
            raise ConfigError(
                f"{where}: router.stages has '{stage}', which is none of {', '.join(STAGES)}"
            )
    if len(set(stages)) < len(stages):
        raise ConfigError(f"{where}: router.stages names a stage twice")
    for specialty, other in router.substitutes.items():
        for name in (specialty, other):
            if not SPECIALTY_PATTERN.fullmatch(name):
                raise ConfigError(f"{where}: router.substitutes: '{name}' is not a specialty name")
        seen = {specialty}
        while other not in seen and other in router.substitutes:
            seen.add(other)
            other = router.substitutes[other]
        if other in seen:
            raise ConfigError(
                f"{where}: router.substitutes goes round in a circle at '{specialty}'"
            )
    for name, value in (
        ("classifier.threshold", router.classifier.threshold),
        ("classifier.margin", router.classifier.margin),
        ("embedding.threshold", router.embedding.threshold),
        ("embedding.margin", router.embedding.margin),
    ):
        if value is not None and not 0.0 <= value <= 1.0:
            raise ConfigError(f"{where}: router.{name} must be 0 to 1, not {value}")
    memo, exact, judge = router.memo, router.exact, router.judge
    if judge.model is not None and not judge.model.strip():
        raise ConfigError(
            f"{where}: router.judge.model is blank; name a model of the mesh, or leave it out to "
            f"ask whichever serves '{judge.specialty}'"
        )
    if not SPECIALTY_PATTERN.fullmatch(judge.specialty):
        raise ConfigError(
            f"{where}: router.judge.specialty: '{judge.specialty}' is not a specialty name"
        )
    mib, tib, minute_ms, year_s = 2**20, 2**40, 60_000, 366 * 86_400
    for name, least, number, most in (
        ("memo.max_bytes", 0, memo.max_bytes, tib),
        ("memo.max_answer_bytes", 0, memo.max_answer_bytes, tib),
        ("memo.ttl_s", 0, memo.ttl_s, year_s),
        ("memo.redis_timeout_ms", 1, memo.redis_timeout_ms, minute_ms),
        ("exact.timeout_ms", 1, exact.timeout_ms, minute_ms),
        ("exact.memory_bytes", 384 * mib, exact.memory_bytes, tib),
        ("embedding.timeout_ms", 1, router.embedding.timeout_ms, minute_ms),
        ("embedding.threads", 1, router.embedding.threads, 64),
        ("judge.timeout_ms", 1, judge.timeout_ms, minute_ms),
        ("judge.remembered", 0, judge.remembered, 1_000_000),
        ("log.max_bytes", 4096, router.log.max_bytes, tib),
    ):
        if not least <= number <= most:  # which nan is not either
            raise ConfigError(
                f"{where}: router.{name} must be {least:,} to {most:,}, not {number:,}"
            )
    if router.log.prompts not in ("redacted", "full"):
        raise ConfigError(
            f"{where}: router.log.prompts must be 'redacted' or 'full', not '{router.log.prompts}'"
        )

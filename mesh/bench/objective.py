"""A service level objective: what a stream must keep to count as good."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mesh.durations import seconds, written
from mesh.errors import ConfigError

_EXAMPLE = "ttft=500ms,itl=100ms,e2e=10s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one stream's reader saw, in seconds from the moment the request was due. ``ttft``: first
    token; ``itl``: mean time between two tokens; ``gap``: the longest such time; ``e2e``: the end.
    None: there was no such thing (no token, or only one)."""

    ttft: float | None
    itl: float | None
    gap: float | None
    e2e: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Upper limits in seconds on what ``Latency`` says, None for no limit. A mean of inter-token
    times is what DistServe (OSDI 2024) calls time per output token; ``gap`` catches the one long
    pause that a mean hides."""

    ttft: float | None = None
    itl: float | None = None
    gap: float | None = None
    e2e: float | None = None

    def missed(self, latency: Latency) -> tuple[str, ...]:
        """The names of the limits that ``latency`` is over."""
        return tuple(
            name
            for name in _NAMES
            if (limit := getattr(self, name)) is not None
            and (value := getattr(latency, name)) is not None
            and value > limit
        )

    def __str__(self) -> str:
        limits = ((name, getattr(self, name)) for name in _NAMES)
        return ",".join(f"{name}={written(limit)}" for name, limit in limits if limit is not None)


_NAMES = tuple(field.name for field in fields(Objective))


def parse(text: str) -> Objective:
    """``ttft=500ms,itl=100ms,e2e=10s``. Raises ``ConfigError`` naming what is wrong."""
    limits: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in _NAMES:
            raise ConfigError(
                f"--slo: '{part.strip()}' is no limit; say {', '.join(_NAMES)} and a time, for "
                f"example {_EXAMPLE}"
            )
        if name in limits:
            raise ConfigError(f"--slo: '{name}' is given twice")
        limit = seconds(value)
        if not limit:
            raise ConfigError(
                f"--slo: '{value}' is no time for {name}; a number above 0 with ms, s or m, for "
                f"example {_EXAMPLE}"
            )
        limits[name] = limit
    return Objective(**limits)

"""When requests come. Pure: an open loop does not wait for answers, a closed one does.

In an open loop a request is due at its scheduled moment whether or not the mesh keeps up, and its
latency counts from that moment. A harness that lets a slow answer put off the next request hides
just the waiting it was meant to measure ("coordinated omission", Gil Tene).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from mesh.errors import ConfigError

MAX_RATE = 100_000.0
MAX_IN_FLIGHT = 4096  # what one orchestrator takes at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenLoop:
    """Poisson arrivals of ``rate`` requests a second. What is due while ``max_in_flight`` streams
    are open is not sent, and counted as not started. Raises ``ConfigError``."""

    rate: float
    max_in_flight: int

    def __post_init__(self) -> None:
        if not 0 < self.rate <= MAX_RATE:
            raise ConfigError(f"--rate must be above 0 and at most {MAX_RATE:g}, not {self.rate:g}")
        _check_in_flight("--max-in-flight", self.max_in_flight)

    @property
    def streams(self) -> int:
        """At most so many at a time."""
        return self.max_in_flight


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """``clients`` that each ask again as soon as they have their answer. Raises ``ConfigError``."""

    clients: int

    def __post_init__(self) -> None:
        _check_in_flight("--clients", self.clients)

    @property
    def streams(self) -> int:
        """At most so many at a time."""
        return self.clients


Load = OpenLoop | ClosedLoop


def poisson(rate: float, random: Random) -> Iterator[float]:
    """Seconds from the start at which requests are due, without end: the gaps between them are
    exponential with mean ``1 / rate``, which makes the counts in any interval Poisson."""
    due = 0.0
    while True:
        due += random.expovariate(rate)
        yield due


def _check_in_flight(option: str, count: int) -> None:
    if not 1 <= count <= MAX_IN_FLIGHT:
        raise ConfigError(f"{option} must be 1 to {MAX_IN_FLIGHT}, not {count}")

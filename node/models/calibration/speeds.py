"""How fast a model is on this box, and what that makes of a queue. Pure.

A load is described by what a request costs the engine on its own: its prompt at the prefill speed,
and its answer at the speed that all slots have together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.fleet import answer_time as pace

_SMOOTHING = 0.1  # weight of the newest answer in what is typical
MOST_WAIT_S = 3600.0  # a heartbeat says no more than this


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Tokens per second; 0: not measured. ``prefill_tps``: of one prompt alone. ``decode_tps``,
    ``decode_tps_half``, ``decode_tps_full``: of all running sequences together, with one, half and
    all of ``slots`` running."""

    slots: int
    prefill_tps: float = 0.0
    decode_tps: float = 0.0
    decode_tps_half: float = 0.0
    decode_tps_full: float = 0.0

    @property
    def known(self) -> bool:
        return self.decode_tps > 0.0

    def decode_at(self, streams: int) -> float:
        """Tokens per second of ``streams`` sequences together; 0 where nothing was measured."""
        return pace.decode_at(
            streams,
            slots=self.slots,
            one=self.decode_tps,
            half=self.decode_tps_half,
            full=self.decode_tps_full,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Typical:
    """What requests of a model are like, as moving averages of tokens: ``prompt`` those that had to
    be computed, ``completion`` those of the answer. The defaults are a short chat's."""

    prompt: float = float(pace.PROMPT_TOKENS)
    completion: float = float(pace.ANSWER_TOKENS)
    answers: int = 0

    def after(self, *, prompt: int, cached: int, completion: int) -> Typical:
        """With one more answer. The first ones weigh as much as those after them, not more."""
        weight = max(_SMOOTHING, 1.0 / (self.answers + 1))
        return Typical(
            prompt=self.prompt + weight * (max(0, prompt - cached) - self.prompt),
            completion=self.completion + weight * (completion - self.completion),
            answers=min(self.answers + 1, 1_000_000),
        )


def expected_wait_s(
    *, queued: int, used: int, slots: int, speeds: Speeds | None, typical: Typical
) -> float | None:
    """Seconds until a request that comes now is likely to have a slot; None: not known.

    0 while a slot is free that nobody in the line will take. Else, ``n`` slots must become free
    before it has one (those ahead of it in the line, and its own), and a busy engine finishes one
    request every ``S`` seconds, where S is what a request costs it: ``typical.prompt`` tokens at
    the prefill speed, ``typical.completion`` at the speed of all slots together. The wait is n * S.
    (Utilisation law, X = U / S with U = 1: Denning and Buzen, "The operational analysis of queueing
    network models", ACM Computing Surveys 10(3), 1978.)
    """
    ahead = max(0, queued) - max(0, slots - used)
    if slots > 0 and ahead < 0:
        return 0.0
    if speeds is None or slots < 1:
        return None
    decode = speeds.decode_at(slots)
    if decode <= 0.0:
        return None
    cost = typical.completion / decode
    if speeds.prefill_tps > 0.0:
        cost += typical.prompt / speeds.prefill_tps
    return min(MOST_WAIT_S, (ahead + 1) * cost)


@dataclass(frozen=True, slots=True)
class Timeline:
    """One measured stream: ``arrivals`` are (seconds, tokens) as they came, in order."""

    arrivals: tuple[tuple[float, int], ...]


def decode_rate(streams: Sequence[Timeline]) -> tuple[int, float]:
    """(tokens, seconds) of the time in which every stream was running: from the last one's first
    token to the first one's last. (0, 0.0) where there was no such time."""
    if not streams or any(len(stream.arrivals) < 2 for stream in streams):
        return 0, 0.0
    begin = max(stream.arrivals[0][0] for stream in streams)
    end = min(stream.arrivals[-1][0] for stream in streams)
    if end <= begin:
        return 0, 0.0
    tokens = sum(count for stream in streams for at, count in stream.arrivals if begin < at <= end)
    return (tokens, end - begin) if tokens else (0, 0.0)

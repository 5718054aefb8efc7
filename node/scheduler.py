"""What goes into the next batch. Pure: knows slots, counts of tokens and seconds, but no tensors.

One batch serves all slots. A running slot always gets its one token; what is left of the budget
goes to prefill, so that a long prompt neither waits for running answers nor freezes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Alone, a chunk of prefill may take this long, since only between two batches can a cancel act.
PREFILL_ALONE_S = 0.1
# Beside running answers, prefill may add this many of their own steps to each step.
PREFILL_BESIDE_STEPS = 1.5
SMALLEST_CHUNK = 8
_FIRST_CHUNK = 32  # while the speed of this model on this box is unknown
_SMOOTHING = 0.3  # weight of the newest reading
# The longest-waiting prompt gets at least this share of a chunk, however many short ones come.
_OLDEST_SHARE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """An open slot that may go on. ``prefill``: prompt tokens not yet in the cache; 0 means that it
    is running. ``arrival``: smaller came earlier."""

    slot: int
    prefill: int
    arrival: int


@dataclass(frozen=True, slots=True)
class Share:
    """``count`` tokens of ``slot`` go into the batch; ``sample``: its next token is drawn after."""

    slot: int
    count: int
    sample: bool


def plan(work: Sequence[Work], *, batch: int, chunk: int) -> tuple[Share, ...]:
    """The next batch: at most ``batch`` tokens, of which at most ``chunk`` are prefill.

    Running slots first. Of the prefill, the oldest prompt has a quarter for certain; the rest goes
    to the shortest remaining prompts, whose first token is nearest.
    """
    running = sorted((w for w in work if not w.prefill), key=lambda w: w.arrival)
    shares = [Share(w.slot, 1, True) for w in running[:batch]]
    budget = min(chunk, batch - len(shares))
    waiting = sorted((w for w in work if w.prefill), key=lambda w: w.arrival)
    if not waiting or budget <= 0:
        return tuple(shares)
    given = dict.fromkeys((w.slot for w in waiting), 0)
    oldest = waiting[0]
    given[oldest.slot] = min(oldest.prefill, -(-budget // _OLDEST_SHARE))
    budget -= given[oldest.slot]
    for w in sorted(waiting, key=lambda w: (w.prefill, w.arrival)):
        extra = min(w.prefill - given[w.slot], budget)
        given[w.slot] += extra
        budget -= extra
    shares += [
        Share(w.slot, given[w.slot], given[w.slot] == w.prefill) for w in waiting if given[w.slot]
    ]
    return tuple(shares)


@dataclass(frozen=True, slots=True)
class Pace:
    """Measured speed on this box: seconds per prefilled token and per step of running slots."""

    prefill_s: float = 0.0
    decode_s: float = 0.0

    def observe(self, *, prefilled: int, running: int, seconds: float) -> Pace:
        """The pace after a batch of so many prefilled tokens and running slots took ``seconds``."""
        if not prefilled:
            return Pace(self.prefill_s, _smooth(self.decode_s, seconds))
        beside = self.decode_s if running else 0.0
        each = max(seconds - beside, 0.1 * seconds) / prefilled
        return Pace(_smooth(self.prefill_s, each), self.decode_s)

    def chunk(self, *, running: int, batch: int) -> int:
        """Prefill tokens for the next batch, ``SMALLEST_CHUNK`` to ``batch``."""
        if self.prefill_s <= 0:
            return min(_FIRST_CHUNK, batch)
        target = PREFILL_ALONE_S
        if running and self.decode_s > 0:
            target = min(target, PREFILL_BESIDE_STEPS * self.decode_s)
        return max(min(SMALLEST_CHUNK, batch), min(batch, int(target / self.prefill_s)))


def _smooth(before: float, reading: float) -> float:
    return reading if before <= 0 else (1 - _SMOOTHING) * before + _SMOOTHING * reading


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens at the start of both are the same."""
    shorter = min(len(left), len(right))
    if left[:shorter] == right[:shorter]:
        return shorter
    low, high = 0, shorter  # slices compare in C: bisect, for prompts of many thousands of tokens
    while high - low > 1:
        middle = (low + high) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle
    return low


def choose_cache(
    prompt: Sequence[int], caches: Mapping[int, Sequence[int]], last_used: Mapping[int, int]
) -> tuple[int, int]:
    """Which of the free ``caches`` (sequence -> tokens it still holds) a prompt should take, and
    how many of its tokens are there already.

    The longest common prefix wins; at a tie the one used longest ago, so that caches worth having
    live on. At least one prompt token is left to evaluate, since its logits are needed.
    """
    best = max(caches, key=lambda c: (common_prefix(prompt, caches[c]), -last_used.get(c, 0), -c))
    return best, min(common_prefix(prompt, caches[best]), len(prompt) - 1)

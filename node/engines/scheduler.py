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
# ... or this long, where their steps are so short that nobody would see it.
PREFILL_UNSEEN_S = 0.004
SMALLEST_CHUNK = 1  # even where a token of prefill takes longer than that
_FIRST_CHUNK = 32  # while the speed of this model on this box is unknown
_FULL_ENOUGH = 0.8  # share of that time from which a chunk does not grow
_SMOOTHING = 0.3  # weight of the newest reading
# The longest-waiting prompt gets at least this share of a chunk, however many short ones come.
_OLDEST_SHARE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSlot:
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


def plan(work: Sequence[OpenSlot], *, batch: int, chunk: int) -> tuple[Share, ...]:
    """The next batch: at most ``batch`` tokens, of which at most ``chunk`` are prefill.

    Running slots first. Of the prefill, the oldest prompt has a quarter for certain; the rest goes
    to the shortest remaining prompts, whose first token is nearest.
    """
    running = sorted((w for w in work if not w.prefill), key=lambda w: w.arrival)
    shares = [Share(w.slot, 1, True) for w in running[:batch]]
    budget = min(chunk, batch - len(shares))
    waiting = sorted((w for w in work if w.prefill), key=lambda w: w.arrival)
    if not waiting:
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
class StepSpeed:
    """Measured speed on this box: seconds per prefilled token and per step of running slots.

    ``beside``: prefill tokens to put beside running slots, 0 while nothing is known. It is found by
    trying, not from ``prefill_s``: a pass over the weights costs the same for one token as for ten,
    and an attention over thousands of tokens more than one over none.
    """

    prefill_s: float = 0.0
    decode_s: float = 0.0
    beside: int = 0

    def observe(self, *, prefilled: int, running: int, seconds: float) -> StepSpeed:
        """The pace after a batch of so many prefilled tokens and running slots took ``seconds``."""
        if not prefilled:
            return StepSpeed(self.prefill_s, _smooth(self.decode_s, seconds), self.beside)
        if not running or self.decode_s <= 0:
            return StepSpeed(
                _smooth(self.prefill_s, seconds / prefilled), self.decode_s, self.beside
            )
        extra = max(seconds - self.decode_s, 0.1 * seconds)
        return StepSpeed(
            self.prefill_s or extra / prefilled,
            self.decode_s,
            self._next_beside(prefilled, extra / self._room_s),
        )

    @property
    def _room_s(self) -> float:
        """Seconds that prefill may add to a step of running slots."""
        return max(PREFILL_UNSEEN_S, PREFILL_BESIDE_STEPS * self.decode_s)

    def _next_beside(self, prefilled: int, used: float) -> int:
        """``used``: the share of its time that the last one took. Down at once, though by no more
        than half, since one slow step may be another process's doing; up by a quarter."""
        if used > 1:
            return max(SMALLEST_CHUNK, int(prefilled * max(0.5, 1 / used)))
        if prefilled < self.beside or used > _FULL_ENOUGH:
            return max(self.beside, prefilled)
        return prefilled + max(1, prefilled // 4)

    def chunk(self, *, running: int, batch: int) -> int:
        """Prefill tokens for the next batch, ``SMALLEST_CHUNK`` to ``batch``."""
        if running and self.beside:
            return min(batch, self.beside)
        if self.prefill_s <= 0:
            return min(_FIRST_CHUNK, batch)
        target = PREFILL_ALONE_S
        if running and self.decode_s > 0:
            target = min(target, self._room_s)
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


@dataclass(frozen=True, slots=True)
class Reuse:
    """A prompt takes the free ``cache``; its first ``common`` tokens are evaluated already, in
    ``source``: the same one, or another that is to be copied first."""

    cache: int
    source: int
    common: int


def choose_reuse(
    prompt: Sequence[int],
    free: Mapping[int, Sequence[int]],
    busy: Mapping[int, Sequence[int]],
    last_used: Mapping[int, int],
    *,
    worth_copying: int,
) -> Reuse:
    """Where a prompt starts from: ``choose_cache`` unless a copy brings more.

    ``free`` and ``busy``: caches with the tokens that they hold. A copy is made from a busy cache
    that has at least ``worth_copying`` tokens more in common than any free one, since that is what
    copying costs; and from a free one of which the prompt would throw more than half away, so that
    the conversation it holds can go on as well. The copy goes to the cache used longest ago.
    """
    cache, common = choose_cache(prompt, free, last_used)
    best = Reuse(cache, cache, common)
    oldest = min(free, key=lambda c: (last_used.get(c, 0), c))
    if common >= worth_copying and 2 * common < len(free[cache]) and oldest != cache:
        best = Reuse(oldest, cache, common)
    if busy:
        source, shared = choose_cache(prompt, busy, last_used)
        if shared >= common + worth_copying:
            best = Reuse(oldest, source, shared)
    return best

"""What to measure, and for how long. Pure.

The steps, in order of what they are worth when time runs out: a short warm-up (which pages weights
in, and says how many tokens a word is), one stream, all slots, the prompt, half the slots.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from mesh.fleet.answer_time import levels

BUDGET_S = 5.0  # for all of it
_STEP_SHARE = 0.6  # of the time that is left, for one step at most
LOOK_S = 0.6  # for which all streams of a step are to run; then the step is over
ENOUGH = 0.5  # of that; where answers were shorter, there is another round
PREFILL_GOAL_S = 0.5  # a prompt that takes so long is measured well enough
MOST_PROMPT_TOKENS = 1024
_LEAST_PROMPT_TOKENS = 32
_CONTEXT_SHARE = 0.5
ANSWER_TOKENS = 512  # of one measured stream; also its credit, and so what may wait to be read
WARM_WORDS, WARM_TOKENS = 12, 8
SHORT_WORDS = 1  # of the prompts of streams whose answers are measured
# Not a language's most frequent words, and no question: what is asked for is time, not an answer.
_SYLLABLES = ("ba", "ko", "ri", "tu", "men", "sal", "do", "vi", "per", "lan", "qui", "zo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``streams`` at once, each with a prompt of ``words`` and an answer of at most ``tokens``;
    again, at most ``rounds`` times, until all of them have run together for ``LOOK_S``."""

    name: str
    streams: int
    words: int
    tokens: int
    rounds: int = 1


def warm_up() -> Step:
    return Step(name="warm_up", streams=1, words=WARM_WORDS, tokens=WARM_TOKENS)


def steps(
    slots: int, *, context_length: int, prefill_tps: float, warm_tokens: int
) -> tuple[Step, ...]:
    """What follows the warm-up, which found ``prefill_tps`` with its prompt of ``warm_tokens``.
    ``context_length``: tokens a slot, 0 when it is not known."""
    one, half, full = levels(slots)
    context = context_length or 2 * MOST_PROMPT_TOKENS
    room = max(0, int(context * _CONTEXT_SHARE))
    size = max(_LEAST_PROMPT_TOKENS, int(prefill_tps * PREFILL_GOAL_S))
    size = min(room, size, MOST_PROMPT_TOKENS)
    words = max(1, int(size * WARM_WORDS / max(warm_tokens, 1)))
    answer = max(4, min(ANSWER_TOKENS, room // 2))

    def decode(name: str, streams: int) -> Step:
        # A short answer says little: more of them, until they have run long enough.
        return Step(name=name, streams=streams, words=SHORT_WORDS, tokens=answer, rounds=16)

    found = [decode("decode", one)]
    if full > one:
        found.append(decode("decode_full", full))
    found.append(Step(name="prefill", streams=1, words=words, tokens=1))
    if one < half < full:
        found.append(decode("decode_half", half))
    return tuple(found)


def step_s(left_s: float, *, last: bool) -> float:
    """Seconds that a step may take of those ``left_s``: never all, so that later ones come too."""
    return max(0.0, left_s if last else _STEP_SHARE * left_s)


def prompt(words: int, rng: random.Random) -> str:
    """So many made-up words, new each time: a prompt that is in the cache would measure nothing."""
    return " ".join("".join(rng.choices(_SYLLABLES, k=2)) for _ in range(words))

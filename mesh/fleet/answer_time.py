"""How long an answer is likely to take on a model, by the speeds that its node measured. Pure.

An engine with ``n`` answers running makes ``R(n)`` tokens a second for all of them together, so one
of them gets ``R(n) / n``: processor sharing. What is compared between nodes is the time at which a
request that is sent there now would be answered (shortest expected delay: Winston, "Optimality of
the shortest line discipline", Journal of Applied Probability 14(1), 1977, for why).
"""

from __future__ import annotations

import math

from mesh.fleet.records import Gpu, ModelRecord, ModelState

# What a request is like, tokens: a short chat's. Placement ranks nodes before it knows a request.
PROMPT_TOKENS, ANSWER_TOKENS = 200, 200

# Where nothing was measured: as a small card would have it. A node is measured in its first quiet
# seconds, so this rules only until then, and for servers of somebody else.
UNKNOWN_S = 8.0
_BAND = math.log(1.25)
_SHORTEST_S, _LONGEST_S = 1e-3, 1e6
_LEAST_LEFT = 0.05  # of a throttled card's speed


def levels(slots: int) -> tuple[int, int, int]:
    """One, half (rounded up) and all of ``slots``: how many answers ran when speeds were taken."""
    return 1, max(1, math.ceil(slots / 2)), max(1, slots)


def decode_at(streams: int, *, slots: int, one: float, half: float, full: float) -> float:
    """Tokens per second of ``streams`` sequences together: on straight lines between what was
    measured (0: not) with one, half and all of ``slots``, flat beyond it; 0 where nothing was."""
    below, tps_below = 0, 0.0
    for at, tps in zip(levels(slots), (one, half, full), strict=True):
        if tps <= 0.0 or at == below:
            continue
        if at == streams or (at > streams and not below):
            return tps
        if at > streams:
            return tps_below + (streams - below) / (at - below) * (tps - tps_below)
        below, tps_below = at, tps
    return tps_below


def answer_s(
    model: ModelRecord,
    gpus: tuple[Gpu, ...],
    *,
    state: ModelState,
    free_slots: int,
    unseen: int,
    wait_s: float,
) -> float | None:
    """Seconds until a request that comes now is likely to be answered; None: not known.

    With a slot free, its prompt is computed and its answer shares the engine with those that run.
    With none, it waits before that: ``wait_s``, as its node says, and a whole request's time for
    each of ``unseen`` that the node had not heard of then. A throttled GPU takes longer by what it
    has lost; a cold model by its last load.
    """
    if model.instant:
        return max(_SHORTEST_S, wait_s)
    if model.decode_tps <= 0.0 and model.decode_tps_half <= 0.0 and model.decode_tps_full <= 0.0:
        return None
    running = max(1, model.slots - max(0, free_slots - 1))
    decode = _decode(model, running)
    left = _left(model, gpus)
    prefill = PROMPT_TOKENS / model.prefill_tps if model.prefill_tps > 0.0 else 0.0
    found = (prefill + ANSWER_TOKENS * running / decode) / left
    if free_slots <= 0:
        whole = (prefill + ANSWER_TOKENS / _decode(model, max(1, model.slots))) / left
        found += max(0.0, wait_s) + unseen * whole
    if state is ModelState.COLD:
        found += max(0.0, model.load_s)
    return min(_LONGEST_S, max(_SHORTEST_S, found))


def band(seconds: float | None, model: ModelRecord, gpus: tuple[Gpu, ...]) -> int:
    """A number that grows by one with each quarter more time. Within it nodes count as equally
    fast: measurements are no better than that, and equals are to share the load."""
    if seconds is None:
        seconds = UNKNOWN_S / _left(model, gpus)
    return math.floor(math.log(seconds) / _BAND)


def _decode(model: ModelRecord, streams: int) -> float:
    return decode_at(
        streams,
        slots=model.slots,
        one=model.decode_tps,
        half=model.decode_tps_half,
        full=model.decode_tps_full,
    )


def _left(model: ModelRecord, gpus: tuple[Gpu, ...]) -> float:
    """The share of its speed that its device has now."""
    for gpu in gpus:
        if gpu.uuid == model.device:
            return min(1.0, max(_LEAST_LEFT, gpu.throttled_to))
    return 1.0

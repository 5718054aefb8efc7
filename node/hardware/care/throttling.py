"""Why a GPU's clocks are lower than they could be, in words, and what is left of them. Pure.

NVML gives a bit mask ("clocks event reasons", formerly "clocks throttle reasons"; NVML API
Reference, group nvmlClocksEventReasons). The bits have not changed with the name.
"""

from __future__ import annotations

from collections.abc import Mapping

HOLD_S = 30.0  # a reason stays up so long after it was last seen: it comes and goes by the second

# Bits that mean less speed than the card could give. Not among them, on purpose: 0x1 idle, 0x2
# clocks that its owner has set, 0x100 clocks of the display setting. The share of its speed that is
# left is NVML's "factor of 2 or more" where it says so; else a guess on the safe side, since
# software lowers clocks by steps. A power limit weighs little: speeds were measured under it too.
_WORDS: tuple[tuple[int, str, float], ...] = (
    (0x40, "too hot (hardware slowdown)", 0.5),  # HwThermalSlowdown: by half or more
    (0x20, "hot", 0.75),  # SwThermalSlowdown: GPU or its memory above its operating temperature
    (0x80, "power brake from the power supply", 0.5),  # HwPowerBrakeSlowdown: by half or more
    (0x4, "at its power limit", 0.9),  # SwPowerCap
    (0x10, "held back by a slower GPU of its sync boost group", 0.75),  # SyncBoost
    (0x200, "at a limit of its board", 0.9),  # BoardLimit
    (0x400, "at a limit of its voltage", 0.9),  # Reliability
)
_HARDWARE = 0x8  # HwSlowdown: any of the hardware's reasons, named or not
_NAMED_HARDWARE = 0x40 | 0x80
_HARDWARE_WORDS = "slowed down by its hardware (heat, power brake or power draw)"
_LEFT = {words: left for _, words, left in _WORDS} | {_HARDWARE_WORDS: 0.5}


def reasons(mask: int) -> tuple[str, ...]:
    """The reasons in ``mask``, the worst first; empty for a card that is not throttled."""
    found = [words for bit, words, _ in _WORDS if mask & bit]
    if mask & _HARDWARE and not mask & _NAMED_HARDWARE:
        found.insert(0, _HARDWARE_WORDS)
    return tuple(found)


def held(seen: Mapping[str, float], now_seen: tuple[str, ...], now: float) -> dict[str, float]:
    """When each reason was last seen (seconds), those longer ago than ``HOLD_S`` left out."""
    kept = {words: at for words, at in seen.items() if now - at < HOLD_S}
    return kept | dict.fromkeys(now_seen, now)


def in_order(seen: Mapping[str, float]) -> str:
    """The reasons as one line for the record, the worst first."""
    ranks = [_HARDWARE_WORDS, *(words for _, words, _ in _WORDS)]
    return ", ".join(sorted(seen, key=ranks.index))


def left(seen: Mapping[str, float]) -> float:
    """The share of its speed that a card with these reasons is likely to have, 1 for none."""
    return min((_LEFT[words] for words in seen), default=1.0)

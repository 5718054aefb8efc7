"""What of a runner's memory it could do without.

llama.cpp copies weights of some types into a form that its CPU likes (CPU_REPACK) and leaves the
originals mapped, clean, never to be read again.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.engines.estimate import Estimate

_MOST_TYPES = 6  # quantised types in one file


def spare_bytes(whole: int, mapped: int, types: Sequence[int], estimate: Estimate) -> int:
    """Of a process of ``whole`` bytes, ``mapped`` of them from its model's file. ``types``: bytes
    of the weights of each quantised type."""
    weights = estimate.ram.weights_bytes
    surplus = whole - mapped - (estimate.ram.total_bytes - weights)
    return twice_bytes(mapped, weights, copied_bytes(surplus, types))


def copied_bytes(surplus: int, types: Sequence[int]) -> int:
    """How many bytes of weights were copied, when a process has ``surplus`` bytes beyond what was
    expected: a type is copied wholly or not at all, so the sum of ``types`` that comes nearest."""
    sums = {0}
    for size in types[:_MOST_TYPES]:
        sums |= {each + size for each in sums}
    return min(sums, key=lambda each: abs(each - surplus))


def twice_bytes(mapped: int, weights: int, copied: int) -> int:
    """How much of ``mapped`` is not needed when ``copied`` of all ``weights`` have a copy."""
    return max(0, mapped - max(0, weights - copied)) if copied else 0

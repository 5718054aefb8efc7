"""From what a load takes and what is free to a verdict: whole, in part, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from node.engines.base import ModelSpec
from node.engines.estimate import CPU, Estimate
from node.engines.traits import EngineTraits, F, Target

MOST_SLOTS = 64  # mesh/settings/model.py, ModelSettings.slots
UNKNOWN_CONTEXT = 131_072  # tokens; how far to look where the files do not say
STEP = 256  # tokens between two contexts that are looked at: caches come in blocks of these
_MIB = 1024 * 1024


class FitGrade(StrEnum):
    FITS = "fits"  # as it was wanted
    SMALLER = "fits smaller"  # only with fewer tokens a slot, or fewer slots
    PARTIAL = "fits in part"  # only with some of its layers on the CPU
    NO = "does not fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The verdict for one device. ``estimate``: of what was wanted; ``left_bytes``: free beside it,
    negative for what is missing.

    ``largest_context``: tokens a slot at the slots wanted, ``most_slots``: at the context wanted,
    each with the layers where they were wanted; 0 when none fits. ``gpu_layers``: the most that fit
    with context and slots as wanted, in the engine's count (``Estimate.gpu_layers``); 0 for the
    CPU. It is for people to choose: nothing moves to the CPU unless the settings say so.
    """

    model: str
    outcome: FitGrade
    estimate: Estimate
    free_bytes: int
    ram_free_bytes: int | None
    largest_context: int
    most_slots: int
    gpu_layers: int

    @property
    def left_bytes(self) -> int:
        return self.free_bytes - self.estimate.device_bytes

    @property
    def reason(self) -> str:
        """The sums, and what would fit instead, in one line."""
        wanted = self.estimate
        parts = wanted.ram if wanted.device == CPU else wanted.gpu
        correction = wanted.device_bytes - parts.total_bytes
        sums = [
            f"weights {mebibytes(parts.weights_bytes)}",
            f"cache {mebibytes(parts.kv_bytes)} ({wanted.slots} slots of "
            f"{wanted.context_length} tokens)",
            f"compute {mebibytes(parts.compute_bytes)}",
            f"overhead {mebibytes(parts.overhead_bytes)}",
            *([f"measured {mebibytes(correction)} beside that"] if correction else []),
        ]
        verb = "fits" if self.outcome is FitGrade.FITS else "does not fit as wanted"
        line = (
            f"'{self.model}' {verb} on {wanted.device}: needs {mebibytes(wanted.device_bytes)} "
            f"({', '.join(sums)}) of {mebibytes(self.free_bytes)} free"
        )
        if wanted.device != CPU:
            free = "" if self.ram_free_bytes is None else f" of {mebibytes(self.ram_free_bytes)}"
            line += f", and {mebibytes(wanted.ram_bytes)}{free} of RAM"
        line += f"; {wanted.offload}"
        return line if self.outcome is FitGrade.FITS else f"{line}; {self.remedy}"

    @property
    def remedy(self) -> str:
        """What would fit instead of what was wanted."""
        wanted = self.estimate
        ways = []
        if self.largest_context:
            ways.append(f"context_length {self.largest_context} with {wanted.slots} slots")
        if self.most_slots:
            ways.append(f"{self.most_slots} slots of {wanted.context_length} tokens")
        if self.gpu_layers:
            ways.append(
                f"gpu_layers {self.gpu_layers} ({self.gpu_layers - 1} of {wanted.layers} layers "
                "and the output on the GPU, the rest on the CPU)"
            )
        if ways:
            return f"would fit: {', or '.join(ways)}"
        where = "this box" if wanted.device == CPU else "this GPU"
        return f"no part of it fits {where}: free memory, or use a smaller model"


def fit(
    traits: EngineTraits[F],
    spec: ModelSpec,
    files: F,
    free_bytes: int,
    target: Target,
    *,
    ram_free_bytes: int | None = None,
    correct: Callable[[Estimate], Estimate] = lambda estimate: estimate,
) -> Fit:
    """Whether a model, loaded by an engine as ``spec`` says, fits into what a device has free.

    ``ram_free_bytes``: what the box has free for a GPU's load, whose process is in RAM; None:
    enough. ``correct``: lays measurements over an estimate, as ``Corrections.apply`` does. Raises
    what the engine's ``estimate`` does.
    """

    def estimate(context_length: int, slots: int, gpu_layers: int) -> Estimate:
        changed = replace(spec, context_length=context_length, slots=slots, gpu_layers=gpu_layers)
        return correct(traits.estimate(changed, files, target))

    def holds(load: Estimate) -> bool:
        on_gpu = load.device != CPU
        if on_gpu and ram_free_bytes is not None and load.ram_bytes > ram_free_bytes:
            return False
        return load.device_bytes <= free_bytes

    def fits(context_length: int, slots: int, gpu_layers: int) -> bool:
        return holds(estimate(context_length, slots, gpu_layers))

    context, slots, layers = spec.context_length, spec.slots, spec.gpu_layers
    wanted = estimate(context, slots, layers)
    longest = files.context_length or max(UNKNOWN_CONTEXT, context)
    blocks = _most(
        -(-longest // STEP),
        lambda count: fits(min(longest, count * STEP), slots, layers),
    )
    largest_context = min(longest, blocks * STEP)
    most_slots = _most(MOST_SLOTS, lambda count: fits(context, count, layers))
    # By VRAM alone first: with fewer layers there, RAM is only needed the more.
    offload = wanted.gpu_layers if traits.splits_layers else 0
    on_gpu = _most(offload, lambda count: estimate(context, slots, count).vram_bytes <= free_bytes)
    on_gpu = on_gpu if on_gpu and fits(context, slots, on_gpu) else 0
    if holds(wanted):
        outcome = FitGrade.FITS
    elif largest_context or most_slots:
        outcome = FitGrade.SMALLER
    elif on_gpu:
        outcome = FitGrade.PARTIAL
    else:
        outcome = FitGrade.NO
    return Fit(
        model=files.name,
        outcome=outcome,
        estimate=wanted,
        free_bytes=free_bytes,
        ram_free_bytes=ram_free_bytes,
        largest_context=largest_context,
        most_slots=most_slots,
        gpu_layers=on_gpu,
    )


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest of 1 to ``limit`` that fits, 0 when none does; what fits, fits smaller too."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def mebibytes(size: int) -> str:
    """``312 MiB``, ``7.9 GiB``: as many digits as matter."""
    if abs(size) < 10 * 1024 * _MIB:
        return f"{size / _MIB:,.0f} MiB"
    return f"{size / (1024 * _MIB):,.1f} GiB"

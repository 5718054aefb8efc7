"""What one load of a model takes, as its engine estimates it: bytes, by device and by what for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CPU = "cpu"


class Basis(StrEnum):
    """Where a figure comes from."""

    FORMULA = "formula"
    SCALED = "scaled"  # by what the same model took with another context or number of slots
    MEASURED = "measured"  # this very load was measured before


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Bytes on one device."""

    weights_bytes: int = 0
    kv_bytes: int = 0
    compute_bytes: int = 0
    overhead_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.kv_bytes + self.compute_bytes + self.overhead_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one load takes.

    ``device``: what it is for, ``cpu`` or a GPU's UUID. ``gpu_layers``: as the engine counts them,
    with the output as the last: 0 none, ``layers`` + 1 all. ``layers``: the model's blocks.
    ``kv_slot_bytes``: of the cache, all devices together, what one slot costs. ``correction_*``:
    bytes that measurements of earlier loads add or take away; ``basis`` says which.
    ``notes``: doubts, in words.
    """

    device: str
    context_length: int
    slots: int
    kv_type: str
    layers: int
    gpu_layers: int
    gpu: Parts
    ram: Parts
    kv_slot_bytes: int
    correction_vram_bytes: int = 0
    correction_ram_bytes: int = 0
    basis: Basis = Basis.FORMULA
    notes: tuple[str, ...] = ()

    @property
    def vram_bytes(self) -> int:
        """On the GPU; 0 for a load on the CPU."""
        return max(0, self.gpu.total_bytes + self.correction_vram_bytes)

    @property
    def ram_bytes(self) -> int:
        """In the box's memory, the runner's process included. Weights that stay on the CPU are
        counted, although they are mapped from the file and the kernel may drop them under
        pressure: a model whose weights are not in memory reads them from disk at every token."""
        return max(0, self.ram.total_bytes + self.correction_ram_bytes)

    @property
    def device_bytes(self) -> int:
        """What its own device must have free: VRAM, or RAM on the CPU."""
        return self.ram_bytes if self.device == CPU else self.vram_bytes

    @property
    def offload(self) -> str:
        """Where the layers are, in words: none of them is on the CPU in silence."""
        if self.device == CPU:
            return f"all {self.layers} layers on the CPU"
        if self.gpu_layers > self.layers:
            return f"all {self.layers} layers on the GPU"
        if not self.gpu_layers:
            return f"no layer on the GPU, all {self.layers} on the CPU"
        on_gpu = self.gpu_layers - 1
        return (
            f"{on_gpu} of {self.layers} layers and the output on the GPU, "
            f"{self.layers - on_gpu} layers on the CPU"
        )

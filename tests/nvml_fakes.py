"""A made-up NVML: cards, MIG instances, and the readings that they refuse."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pynvml

from mesh.clock import ManualClock
from node.hardware.gpu import NvmlProbe

GIB = 2**30


@dataclass
class Card:
    """A card, or a MIG instance. A reading that is a ``Refuse`` raises."""

    uuid: str
    name: str
    total: int = 8 * GIB
    used: int = 1 * GIB
    temperature: Any = 41
    milliwatts: Any = 9_500
    busy: Any = 7
    capability: Any = (8, 9)
    memory_error: int | None = None
    error: int | None = None  # everything about it answers so
    mig: Any = pynvml.NVML_ERROR_NOT_SUPPORTED
    reasons: Any = pynvml.nvmlClocksEventReasonGpuIdle
    instances: list[Card | None] = field(default_factory=list)


def answer(value: Any) -> Any:
    """What NVML gives for a reading, or raises where the card refuses it."""
    if isinstance(value, Refuse):
        raise pynvml.NVMLError(value.code)
    return value


@dataclass(frozen=True)
class Refuse:
    code: int


UNSUPPORTED = Refuse(pynvml.NVML_ERROR_NOT_SUPPORTED)


class FakeNvml:
    """The part of ``pynvml`` that the probe uses, over a list of cards."""

    NVMLError = pynvml.NVMLError
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU

    def __init__(self, *cards: Card, init_error: int | None = None) -> None:
        self.cards = list(cards)
        self.init_error = init_error
        self.inits = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("NVML_ERROR_"):
            return getattr(pynvml, name)
        raise AttributeError(name)

    def nvmlInit(self) -> None:
        self.inits += 1
        if self.init_error is not None:
            raise pynvml.NVMLError(self.init_error)

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        return self._alive(self.cards[index])

    def _alive(self, card: Card) -> Card:
        if card.error is not None:
            raise pynvml.NVMLError(card.error)
        return card

    def nvmlDeviceGetUUID(self, card: Card) -> str:
        return self._alive(card).uuid

    def nvmlDeviceGetName(self, card: Card) -> str:
        return self._alive(card).name

    def nvmlDeviceGetMemoryInfo(self, card: Card) -> Any:
        if self._alive(card).memory_error is not None:
            raise pynvml.NVMLError(card.memory_error)
        return SimpleNamespace(total=card.total, used=card.used, free=card.total - card.used)

    def nvmlDeviceGetTemperature(self, card: Card, sensor: int) -> int:
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return answer(self._alive(card).temperature)

    def nvmlDeviceGetPowerUsage(self, card: Card) -> int:
        return answer(self._alive(card).milliwatts)

    def nvmlDeviceGetUtilizationRates(self, card: Card) -> Any:
        return SimpleNamespace(gpu=answer(self._alive(card).busy), memory=0)

    def nvmlDeviceGetCudaComputeCapability(self, card: Card) -> tuple[int, int]:
        return answer(self._alive(card).capability)

    def nvmlDeviceGetCurrentClocksEventReasons(self, card: Card) -> int:
        return answer(self._alive(card).reasons)

    def nvmlDeviceGetMigMode(self, card: Card) -> list[int]:
        if card.mig == pynvml.NVML_ERROR_NOT_SUPPORTED:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [card.mig, card.mig]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:
        instance = card.instances[index] if index < len(card.instances) else None
        if instance is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return instance


def desktop() -> Card:
    return Card(uuid="GPU-4070", name="NVIDIA GeForce RTX 4070", total=12 * GIB)


def pascal() -> Card:
    return Card(
        uuid="GPU-1080",
        name="NVIDIA GeForce GTX 1080",
        milliwatts=Refuse(pynvml.NVML_ERROR_NO_PERMISSION),
        busy=UNSUPPORTED,
        capability=(6, 1),
    )


def partitioned() -> Card:
    def instance(number: int) -> Card:
        return Card(
            uuid=f"MIG-{number}",
            name="NVIDIA H100 80GB HBM3 MIG 1g.10gb",
            total=10 * GIB,
            temperature=Refuse(pynvml.NVML_ERROR_INVALID_ARGUMENT),
            milliwatts=UNSUPPORTED,
            busy=UNSUPPORTED,
            capability=Refuse(pynvml.NVML_ERROR_INVALID_ARGUMENT),
        )

    return Card(
        uuid="GPU-h100",
        name="NVIDIA H100 80GB HBM3",
        total=80 * GIB,
        capability=(9, 0),
        mig=pynvml.NVML_DEVICE_MIG_ENABLE,
        instances=[instance(0), None, instance(2)],
    )


def probe_of(nvml: FakeNvml, clock: ManualClock | None = None) -> NvmlProbe:
    return NvmlProbe(clock or ManualClock(), nvml)

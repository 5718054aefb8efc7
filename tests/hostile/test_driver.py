"""The driver's door: NVML that raises, says what cannot be, or has less than was thought."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from mesh.clock import ManualClock
from mesh.fleet.records import Gpu, Memory
from mesh.settings.model import ModelSettings
from mesh.settings.node import NodeSettings
from node.build import _may_use_gpus
from node.hardware.gpu import LEFT_ALONE, GpuReader, NoProbe, NvmlProbe
from tests.nvml_fakes import GIB, Card, FakeNvml, desktop, partitioned, probe_of

ALL_ONES = 2**64 - 1


def raising(error: Exception) -> Callable[..., Any]:
    def call(*_: object) -> Any:
        raise error

    return call


def says(value: Any) -> Callable[..., Any]:
    return lambda *_: value


def read(**calls: Callable[..., Any]) -> Gpu:
    """The desktop card as the record has it, with these functions of NVML replaced."""
    nvml = FakeNvml(desktop())
    for name, call in calls.items():
        setattr(nvml, name, call)
    (gpu,), _line = probe_of(nvml).probe()
    return gpu


GOOD = read()
NOT_UTF_8 = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
STRANGE = [
    NOT_UTF_8,
    AttributeError("undefined symbol: nvmlDeviceGetThis_v2"),
    OverflowError("int too large"),
    OSError(5, "Input/output error"),
    ctypes.ArgumentError("argument 1"),
    pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
    pynvml.NVMLError(12345),
    RuntimeError("\x1b[31mred\nline"),
]
# Function, the fields that it is for, what they are without it.
FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("nvmlDeviceGetName", {"name": "NVIDIA GPU"}),
    ("nvmlDeviceGetTemperature", {"temperature_c": None}),
    ("nvmlDeviceGetPowerUsage", {"power_w": None}),
    ("nvmlDeviceGetUtilizationRates", {"utilisation": None}),
    ("nvmlDeviceGetCudaComputeCapability", {"compute_capability": None, "dtypes": ()}),
    ("nvmlDeviceGetCurrentClocksEventReasons", {}),
    ("nvmlDeviceGetMigMode", {}),
    (
        "nvmlDeviceGetMemoryInfo",
        {
            "total_bytes": 0,
            "used_bytes": 0,
            "free_bytes": 0,
            "error": "the driver gives no memory figures for this GPU",
        },
    ),
    (
        "nvmlDeviceGetUUID",
        {"uuid": "unknown-0", "error": "the driver gives no UUID for this GPU"},
    ),
]
ABSURD = [None, -1, ALL_ONES, 2**32 - 1, float("nan"), float("inf"), True, "7", b"\xff", (), [1]]
PLAUSIBLE = {("nvmlDeviceGetTemperature", -1), ("nvmlDeviceGetMemoryInfo", 2**32 - 1)}


def differs(gpu: Gpu) -> dict[str, Any]:
    names = Gpu.__dataclass_fields__
    return {n: getattr(gpu, n) for n in names if getattr(gpu, n) != getattr(GOOD, n)}


@pytest.mark.parametrize("error", STRANGE, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize(("name", "costs"), FIELDS, ids=lambda v: v if isinstance(v, str) else "")
def test_a_reading_that_fails_costs_its_own_field(
    name: str, costs: dict[str, Any], error: Exception
) -> None:
    assert differs(read(**{name: raising(error)})) == costs


@pytest.mark.parametrize("value", ABSURD, ids=repr)
@pytest.mark.parametrize(("name", "costs"), FIELDS, ids=lambda v: v if isinstance(v, str) else "")
def test_a_reading_that_cannot_be_costs_its_own_field(
    name: str, costs: dict[str, Any], value: Any
) -> None:
    if isinstance(value, int) and (name, value) in PLAUSIBLE:
        return
    if name == "nvmlDeviceGetMigMode" and value == [1]:  # which is a card in MIG mode
        return
    given = says(value)
    if name == "nvmlDeviceGetUtilizationRates":
        given = says(SimpleNamespace(gpu=value))
    if name == "nvmlDeviceGetMemoryInfo":
        given = says(SimpleNamespace(total=value, used=value, free=value))
    found = differs(read(**{name: given}))
    if name == "nvmlDeviceGetUUID":  # any text will do for one
        assert found.get("uuid", "7") in ("7", "\ufffd", "unknown-0")
        return
    assert found.keys() <= costs.keys() | {"throttled", "throttled_to"}
    for field, without in costs.items():
        # A few of these are good names, and all that matters there is that they are clean.
        if field in found and not isinstance(found[field], str):
            assert found[field] == without


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"RTX \xff 4070", "RTX \ufffd 4070"),
        ("a\x1b[31mred\nline\u202e", "ared line"),
        ("x" * 10_000, "x" * 119 + "\u2026"),
        ("", "NVIDIA GPU"),
    ],
)
def test_names_are_one_clean_line(name: Any, shown: str) -> None:
    assert read(nvmlDeviceGetName=says(name)).name == shown


def test_memory_figures_that_contradict_each_other_never_claim_more_than_there_is() -> None:
    def of(total: int, used: int, free: int) -> tuple[int, int, int]:
        info = SimpleNamespace(total=total, used=used, free=free)
        gpu = read(nvmlDeviceGetMemoryInfo=says(info))
        return gpu.total_bytes, gpu.used_bytes, gpu.free_bytes

    assert of(8 * GIB, ALL_ONES, 3 * GIB) == (8 * GIB, 5 * GIB, 3 * GIB)
    assert of(8 * GIB, 3 * GIB, ALL_ONES) == (8 * GIB, 3 * GIB, 5 * GIB)
    assert of(8 * GIB, -1, 9 * GIB) == (0, 0, 0)


BOX = Memory(total_bytes=128 * GIB, available_bytes=100 * GIB)


@pytest.mark.parametrize("memory", ["refused", "zero"])
def test_unified_memory_is_the_boxs_with_a_budget(memory: str) -> None:
    card = Card(uuid="GPU-gb10", name="NVIDIA GB10", capability=(12, 1))
    if memory == "refused":
        card.memory_error = pynvml.NVML_ERROR_NOT_SUPPORTED
    else:
        card.total = card.used = 0
    (gpu,), line = NvmlProbe(ManualClock(), FakeNvml(card), memory=lambda: BOX).probe()
    assert (gpu.error, gpu.unified) == (None, True)
    assert gpu.total_bytes == 128 * GIB - int(12.8 * GIB)
    assert gpu.free_bytes == 100 * GIB - int(12.8 * GIB)
    assert gpu.used_bytes == gpu.total_bytes - gpu.free_bytes
    assert line == "1 GPU: NVIDIA GB10 115.2 GiB of the box"


def test_a_full_or_tiny_box_leaves_unified_memory_nothing_and_breaks_nothing() -> None:
    card = Card(uuid="GPU-orin", name="Orin (nvgpu)")
    card.memory_error = pynvml.NVML_ERROR_NOT_SUPPORTED
    for box in (
        Memory(total_bytes=8 * GIB, available_bytes=GIB),
        Memory(total_bytes=GIB, available_bytes=0),
    ):
        (gpu,), _ = NvmlProbe(ManualClock(), FakeNvml(card), memory=says(box)).probe()
        assert gpu.free_bytes == 0
        assert gpu.used_bytes == gpu.total_bytes >= 0


@pytest.mark.parametrize("error", STRANGE, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("name", ["nvmlInit", "nvmlDeviceGetCount"])
def test_a_driver_that_fails_as_a_whole_is_one_clean_line(name: str, error: Exception) -> None:
    nvml = FakeNvml(desktop())
    setattr(nvml, name, raising(error))
    gpus, line = probe_of(nvml).probe()
    assert gpus == ()
    assert line.startswith("the NVIDIA driver failed (")
    assert line.isprintable()


@pytest.mark.parametrize("count", [-1, ALL_ONES, None, "2", float("nan")], ids=repr)
def test_an_absurd_number_of_cards_is_a_failure(count: Any) -> None:
    nvml = FakeNvml(desktop())
    setattr(nvml, "nvmlDeviceGetCount", says(count))  # noqa: B010
    assert "it says that there are" in probe_of(nvml).probe()[1]


@pytest.mark.parametrize("error", STRANGE, ids=lambda e: type(e).__name__)
def test_a_card_that_fails_as_a_whole_leaves_the_others(error: Exception) -> None:
    good, bad = desktop(), Card(uuid="GPU-bad", name="bad")
    nvml = FakeNvml(good, bad)

    def handle(index: int) -> Card:
        if index == 1:
            raise error
        return good

    setattr(nvml, "nvmlDeviceGetHandleByIndex", handle)  # noqa: B010
    first, second = probe_of(nvml).probe()[0]
    assert (first.uuid, first.error) == ("GPU-4070", None)
    assert second.error is not None
    assert second.error.startswith("GPU 1 does not answer: ")
    assert second.error.isprintable()


@pytest.mark.parametrize("count", [-1, ALL_ONES, None, "7"], ids=repr)
def test_an_absurd_number_of_instances_is_none(count: Any) -> None:
    nvml = FakeNvml(partitioned())
    setattr(nvml, "nvmlDeviceGetMaxMigDeviceCount", says(count))  # noqa: B010
    assert probe_of(nvml).probe()[0] == ()


async def test_a_probe_that_raises_costs_the_gpus_and_is_asked_again() -> None:
    class Broken:
        calls = 0

        def probe(self) -> tuple[tuple[Gpu, ...], str]:
            self.calls += 1
            if self.calls == 1:
                raise RuntimeError("boom")
            return (), "well"

    reader = GpuReader(Broken())
    assert (await reader.read()).line == "the NVIDIA driver failed (boom): models run on the CPU"
    assert (await reader.read()).line == "well"


def test_with_no_layers_on_gpus_no_driver_is_asked() -> None:
    def node(*layers: int) -> NodeSettings:
        models = tuple(
            ModelSettings(source="x", specialties=("math",), gpu_layers=each) for each in layers
        )
        return NodeSettings(name="n", models=models)

    assert not _may_use_gpus(node(0))
    assert not _may_use_gpus(node(0, 0))
    assert _may_use_gpus(node(0, -1))
    assert _may_use_gpus(node())
    assert NoProbe().probe() == ((), LEFT_ALONE)

"""The GPU probe against a made-up NVML: what each kind of box looks like, and what breaks."""

from __future__ import annotations

import asyncio
import threading

import pynvml
import pytest

from mesh.clock import ManualClock
from mesh.fleet.records import Gpu
from node.hardware.care.throttling import HOLD_S
from node.hardware.gpu import NO_DRIVER, REINIT_EVERY_S, GpuReader
from tests.nvml_fakes import (
    GIB,
    UNSUPPORTED,
    Card,
    FakeNvml,
    Refuse,
    desktop,
    partitioned,
    pascal,
    probe_of,
)


def test_a_desktop_card_gives_every_reading_in_our_units() -> None:
    gpus, line = probe_of(FakeNvml(desktop())).probe()
    assert gpus == (
        Gpu(
            uuid="GPU-4070",
            name="NVIDIA GeForce RTX 4070",
            index=0,
            total_bytes=12 * GIB,
            used_bytes=1 * GIB,
            free_bytes=11 * GIB,
            temperature_c=41.0,
            power_w=9.5,
            utilisation=0.07,
            compute_capability="8.9",
            dtypes=("fp32", "fp16", "int8", "bf16", "tf32", "fp8"),
        ),
    )
    assert line == "1 GPU: NVIDIA GeForce RTX 4070 12.0 GiB"


def test_readings_that_an_old_card_refuses_are_none_and_no_error() -> None:
    (gpu,), _ = probe_of(FakeNvml(pascal())).probe()
    assert (gpu.power_w, gpu.utilisation, gpu.error) == (None, None, None)
    assert (gpu.temperature_c, gpu.compute_capability) == (41.0, "6.1")
    assert gpu.dtypes == ("fp32", "int8")  # fp16 runs at 1/64 there


def test_mig_instances_are_devices_and_their_parent_is_not() -> None:
    gpus, line = probe_of(FakeNvml(desktop(), partitioned())).probe()
    assert [gpu.uuid for gpu in gpus] == ["GPU-4070", "MIG-0", "MIG-2"]
    instance = gpus[1]
    assert (instance.parent_uuid, instance.index) == ("GPU-h100", 1)
    assert (instance.total_bytes, instance.temperature_c) == (10 * GIB, None)
    assert instance.compute_capability == "9.0"  # the parent's silicon
    assert "fp8" in instance.dtypes
    assert line.startswith("3 GPUs: ")


HOT = pynvml.nvmlClocksEventReasonHwThermalSlowdown | pynvml.nvmlClocksEventReasonHwSlowdown


def test_a_throttled_card_says_why_for_as_long_as_it_comes_and_goes() -> None:
    clock, card = ManualClock(), desktop()
    probe = probe_of(FakeNvml(card), clock)

    def throttled() -> str:
        return probe.probe()[0][0].throttled

    assert throttled() == ""
    card.reasons = HOT
    assert throttled() == "too hot (hardware slowdown)"
    card.reasons = 0
    clock._now += HOLD_S - 1
    card.reasons = pynvml.nvmlClocksEventReasonSwPowerCap
    assert throttled() == "too hot (hardware slowdown), at its power limit"
    clock._now += 2
    assert throttled() == "at its power limit"
    card.reasons = 0
    clock._now += HOLD_S
    assert throttled() == ""


def test_a_throttled_card_says_how_much_of_its_speed_is_left() -> None:
    card = desktop()
    probe = probe_of(FakeNvml(card))
    assert probe.probe()[0][0].throttled_to == 1.0
    card.reasons = HOT | pynvml.nvmlClocksEventReasonSwPowerCap
    assert probe.probe()[0][0].throttled_to == 0.5  # of several, the worst


def test_a_card_that_does_not_tell_its_reasons_is_not_called_throttled() -> None:
    card = desktop()
    card.reasons = UNSUPPORTED
    (gpu,), _ = probe_of(FakeNvml(card)).probe()
    assert (gpu.throttled, gpu.error) == ("", None)


class OldDriver(FakeNvml):
    """Before release 535: the binding has the new name, the driver only the old one."""

    def nvmlDeviceGetCurrentClocksEventReasons(self, card: Card) -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, card: Card) -> int:
        return super().nvmlDeviceGetCurrentClocksEventReasons(card)


class NoSuchReading(FakeNvml):
    nvmlDeviceGetCurrentClocksEventReasons = None  # type: ignore[assignment]
    nvmlDeviceGetCurrentClocksThrottleReasons = None


@pytest.mark.parametrize(("kind", "wanted"), [(OldDriver, "hot"), (NoSuchReading, "")])
def test_old_drivers_and_bindings_tell_what_they_can(kind: type[FakeNvml], wanted: str) -> None:
    card = desktop()
    card.reasons = pynvml.nvmlClocksEventReasonSwThermalSlowdown
    (gpu,), _ = probe_of(kind(card)).probe()
    assert (gpu.throttled, gpu.error) == (wanted, None)


def test_a_mig_instance_is_throttled_with_its_card() -> None:
    card = partitioned()
    card.reasons = pynvml.nvmlClocksEventReasonSwPowerCap
    for instance in card.instances:
        if instance is not None:
            instance.reasons = Refuse(pynvml.NVML_ERROR_INVALID_ARGUMENT)
    gpus, _ = probe_of(FakeNvml(card)).probe()
    assert {(gpu.throttled, gpu.throttled_to) for gpu in gpus} == {("at its power limit", 0.9)}


def test_mig_mode_without_instances_is_said_in_plain_words() -> None:
    card = partitioned()
    card.instances = []
    gpus, line = probe_of(FakeNvml(card)).probe()
    assert gpus == ()
    assert "MIG mode without instances" in line
    assert line.endswith("models run on the CPU")


def test_changing_a_card_into_mig_mode_and_back_leaves_no_ghosts() -> None:
    card = partitioned()
    nvml = FakeNvml(card)
    probe = probe_of(nvml)
    card.mig = pynvml.NVML_DEVICE_MIG_DISABLE
    assert [gpu.uuid for gpu in probe.probe()[0]] == ["GPU-h100"]
    card.mig = pynvml.NVML_DEVICE_MIG_ENABLE
    assert [gpu.uuid for gpu in probe.probe()[0]] == ["MIG-0", "MIG-2"]
    card.instances = card.instances[:1]
    assert [gpu.uuid for gpu in probe.probe()[0]] == ["MIG-0"]
    card.mig = pynvml.NVML_DEVICE_MIG_DISABLE
    assert [gpu.uuid for gpu in probe.probe()[0]] == ["GPU-h100"]


def test_a_card_lost_while_running_stays_listed_with_its_error_and_comes_back() -> None:
    clock, card = ManualClock(), pascal()
    nvml = FakeNvml(desktop(), card)
    probe = probe_of(nvml, clock)
    probe.probe()
    card.error = pynvml.NVML_ERROR_GPU_IS_LOST
    gpus, line = probe.probe()
    assert [(gpu.uuid, gpu.error) for gpu in gpus] == [
        ("GPU-4070", None),
        ("GPU-1080", "GPU 1 does not answer: GPU is lost"),
    ]
    assert "GPU 1 does not answer" in line
    card.error = None
    clock._now += REINIT_EVERY_S
    assert [gpu.error for gpu in probe.probe()[0]] == [None, None]
    assert nvml.inits == 2


def test_a_card_that_vanishes_from_the_list_is_reported_and_not_forgotten() -> None:
    nvml = FakeNvml(desktop(), pascal())
    probe = probe_of(nvml)
    probe.probe()
    del nvml.cards[1]
    for _ in range(2):
        gpus, _ = probe.probe()
        assert [gpu.error for gpu in gpus] == [None, "GPU 1 has vanished from the driver"]
    assert nvml.inits == 1  # initialising again wakes every card: not at each look


def test_instances_of_a_lost_card_are_reported_lost_with_it() -> None:
    card = partitioned()
    probe = probe_of(FakeNvml(card))
    probe.probe()
    card.error = pynvml.NVML_ERROR_GPU_IS_LOST
    gpus, _ = probe.probe()
    assert [gpu.uuid for gpu in gpus] == ["MIG-0", "MIG-2"]
    assert all(gpu.error for gpu in gpus)


def test_a_card_already_lost_at_start_is_reported_without_a_made_up_name() -> None:
    clock, card = ManualClock(), desktop()
    card.error = pynvml.NVML_ERROR_GPU_IS_LOST
    probe = probe_of(FakeNvml(card), clock)
    (gpu,), line = probe.probe()
    assert (gpu.uuid, gpu.total_bytes) == ("unknown-0", 0)
    assert line.endswith("models run on the CPU")
    card.error = None
    clock._now += REINIT_EVERY_S
    assert [gpu.uuid for gpu in probe.probe()[0]] == ["GPU-4070"]


def test_a_device_without_memory_figures_says_so_instead_of_claiming_none_used() -> None:
    card = Card(uuid="GPU-gb10", name="NVIDIA GB10")
    card.memory_error = pynvml.NVML_ERROR_NOT_SUPPORTED
    (gpu,), _ = probe_of(FakeNvml(card)).probe()
    assert gpu.error == "the driver gives no memory figures for this GPU"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, NO_DRIVER),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "kernel driver is not loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "reboot, or reload the nvidia kernel modules"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "may not open the NVIDIA devices"),
        (pynvml.NVML_ERROR_UNKNOWN, "the NVIDIA driver failed (Unknown Error)"),
    ],
)
def test_without_a_working_driver_the_line_says_why_and_what_to_do(code: int, words: str) -> None:
    gpus, line = probe_of(FakeNvml(desktop(), init_error=code)).probe()
    assert gpus == ()
    assert words in line
    assert "models run on the CPU" in line


def test_a_driver_installed_later_is_found() -> None:
    nvml = FakeNvml(desktop(), init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    probe = probe_of(nvml)
    assert probe.probe() == ((), NO_DRIVER)
    nvml.init_error = None
    assert len(probe.probe()[0]) == 1


def test_a_driver_with_no_card_is_said_in_plain_words() -> None:
    assert probe_of(FakeNvml()).probe() == (
        (),
        "the NVIDIA driver finds no GPU: models run on the CPU",
    )


class HangingProbe:
    """Answers once, then hangs until released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.calls = 0

    def probe(self) -> tuple[tuple[Gpu, ...], str]:
        self.calls += 1
        if self.calls == 2:
            self.release.wait(30)
        return probe_of(FakeNvml(desktop())).probe()


async def test_a_driver_that_hangs_is_reported_not_waited_for_and_heals_by_itself() -> None:
    probe = HangingProbe()
    reader = GpuReader(probe, deadline_s=0.05)
    try:
        assert (await reader.read()).gpus[0].error is None
        for _ in range(3):
            reading = await reader.read()
            assert "the NVIDIA driver hangs" in reading.line
            assert reading.gpus[0].uuid == "GPU-4070"
            assert reading.gpus[0].error is not None
        assert probe.calls == 2  # no second call beside the hung one
    finally:
        probe.release.set()
    async with asyncio.timeout(5):
        while (await reader.read()).gpus[0].error is not None:
            pass  # each read waits for the late answer itself

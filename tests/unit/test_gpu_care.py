"""What a card can compute, why it is slow, and what its runners are started with, in tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pynvml
import pytest

from mesh.errors import ConfigError
from node.engines.base import ModelSpec
from node.engines.registry import traits_of
from node.hardware.care.cores import read_cores
from node.hardware.care.dtypes import fast_dtypes, parse_capability
from node.hardware.care.surroundings import (
    Cores,
    cpus,
    environment,
    parse_list,
    ranges,
    surroundings,
)
from node.hardware.care.throttling import held, in_order, left, reasons

# Four cores of two threads each, as most desktops number them; the node may not use core 3.
CORES = Cores(
    allowed=frozenset({0, 1, 2, 4, 5, 6}),
    siblings=(frozenset({0, 4}), frozenset({1, 5}), frozenset({2, 6}), frozenset({3, 7})),
)


@pytest.mark.parametrize(
    ("capability", "dtypes"),
    [
        ("5.2", ("fp32",)),  # GTX 980
        ("5.3", ("fp32", "fp16")),  # Jetson TX1
        ("6.0", ("fp32", "fp16")),  # P100
        ("6.1", ("fp32", "int8")),  # GTX 1080, P40
        ("6.2", ("fp32", "fp16", "int8")),  # Jetson TX2
        ("7.0", ("fp32", "fp16", "int8")),  # V100
        ("7.5", ("fp32", "fp16", "int8")),  # RTX 2080
        ("8.0", ("fp32", "fp16", "int8", "bf16", "tf32")),  # A100
        ("8.6", ("fp32", "fp16", "int8", "bf16", "tf32")),  # RTX 3090
        ("8.9", ("fp32", "fp16", "int8", "bf16", "tf32", "fp8")),  # RTX 4070
        ("9.0", ("fp32", "fp16", "int8", "bf16", "tf32", "fp8")),  # H100
        ("12.0", ("fp32", "fp16", "int8", "bf16", "tf32", "fp8", "fp4")),  # RTX 5090
        (None, ()),
        ("", ()),
        ("x.y", ()),
        ("8", ()),
    ],
)
def test_a_card_is_said_to_compute_what_it_computes_fast(
    capability: str | None, dtypes: tuple[str, ...]
) -> None:
    assert fast_dtypes(capability) == dtypes


def test_a_capability_is_compared_as_numbers() -> None:
    assert parse_capability("10.0") == (10, 0)
    assert "bf16" in fast_dtypes("10.0")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ((), ()),
        (("GpuIdle",), ()),
        (("ApplicationsClocksSetting", "DisplayClockSetting"), ()),  # as its owner wants it
        (("SwPowerCap",), ("at its power limit",)),
        (("SwThermalSlowdown",), ("hot",)),
        (("HwThermalSlowdown", "HwSlowdown"), ("too hot (hardware slowdown)",)),
        (("HwPowerBrakeSlowdown", "HwSlowdown"), ("power brake from the power supply",)),
        (
            ("HwSlowdown",),
            ("slowed down by its hardware (heat, power brake or power draw)",),
        ),
        (
            ("SyncBoost", "SwPowerCap"),
            ("at its power limit", "held back by a slower GPU of its sync boost group"),
        ),
    ],
)
def test_reasons_of_the_driver_are_said_in_words(
    names: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    mask = 0
    for name in names:
        mask |= getattr(pynvml, f"nvmlClocksEventReason{name}")
    assert reasons(mask) == wanted


def test_every_reason_has_its_place_in_the_line() -> None:
    for bit in range(64):
        for mask in (1 << bit, (1 << bit) | 0x8):
            found = reasons(mask)
            assert in_order(held({}, found, 0.0)) == ", ".join(found)
            assert 0.5 <= left(held({}, found, 0.0)) <= (0.9 if found else 1.0)


def spec(**changes: Any) -> ModelSpec:
    given: dict[str, Any] = {
        "id": "m",
        "source": "s",
        "slots": 4,
        "context_length": 512,
        "threads": 3,
    }
    return ModelSpec(**(given | changes))


TORCH = {
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    "OMP_NUM_THREADS": "3",
    "MKL_NUM_THREADS": "3",
}


@pytest.mark.parametrize(
    ("engine", "changes", "inherited", "wanted"),
    [
        ("llama_cpp", {}, {}, {}),
        ("llama_cpp", {"gpu_layers": 0}, {}, {"CUDA_VISIBLE_DEVICES": ""}),
        (
            "llama_cpp",
            {"options": {"device": "GPU-1080"}},
            {"CUDA_VISIBLE_DEVICES": "0"},
            {"CUDA_VISIBLE_DEVICES": "GPU-1080"},
        ),
        (
            "llama_cpp",
            {"options": {"device": "MIG-1"}},
            {},
            {"CUDA_VISIBLE_DEVICES": "MIG-1"},
        ),
        ("simulated", {"gpu_layers": 0}, {}, {}),  # its placement is not by layers
        ("torch", {}, {}, TORCH),
        ("torch", {"options": {"device": "cpu"}}, {}, TORCH | {"CUDA_VISIBLE_DEVICES": ""}),
        ("torch", {"options": {"device": "cuda:1"}}, {}, TORCH),
        ("exllamav2", {}, {}, TORCH),
        (
            "torch",
            {},
            {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64", "OMP_NUM_THREADS": "1"},
            {"MKL_NUM_THREADS": "3"},
        ),
    ],
)
def test_a_runner_sees_its_gpu_and_what_suits_its_engine(
    engine: str, changes: dict[str, Any], inherited: dict[str, str], wanted: dict[str, str]
) -> None:
    found = environment(traits_of(engine), spec(**changes), inherited=inherited)
    own = {"GGML_NO_BACKTRACE": "1"} if engine == "llama_cpp" else {}
    assert found == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} | own | wanted


@pytest.mark.parametrize(
    ("wanted", "threads", "found"),
    [
        (None, 3, set()),
        ("0-2", 3, {0, 1, 2}),
        ("4, 5-6", 3, {4, 5, 6}),
        ([0, 4], 3, {0, 4}),
        ("physical", 2, {0, 1}),
        ("physical", 3, {0, 1, 2}),
        ("physical", 16, {0, 1, 2}),  # core 3 is not ours
        ("physical", 0, {0}),
    ],
)
def test_cpus_are_those_asked_for(wanted: Any, threads: int, found: set[int]) -> None:
    options = {} if wanted is None else {"cpus": wanted}
    assert cpus(spec(options=options, threads=threads), CORES) == found


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("0-3", "names 3, which the node may not use; it may use 0-2,4-6"),
        ([7], "names 7, which the node may not use"),
        ("", "is no list of CPUs"),
        ("3-1", "is no list of CPUs"),
        ("0-999999999", "is no list of CPUs"),
        ("all", "is no list of CPUs"),
        ([], "is no list of CPUs"),
        ([True], "is no list of CPUs"),
        ([-1], "is no list of CPUs"),
        (2, "is no list of CPUs"),
    ],
)
def test_cpus_that_cannot_be_had_are_refused_in_plain_words(wanted: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        cpus(spec(options={"cpus": wanted}), CORES)


def test_the_engine_does_not_see_what_is_said_of_its_process() -> None:
    given = spec(options={"cpus": "0", "device": "GPU-1"})
    found = surroundings(traits_of("llama_cpp"), given, inherited={}, cores=CORES)
    assert found.spec.options == {"device": "GPU-1"}
    assert found.cpus == {0}
    assert found.environment["CUDA_VISIBLE_DEVICES"] == "GPU-1"


@pytest.mark.parametrize(
    ("text", "numbers"), [("0", {0}), ("0-3,8", {0, 1, 2, 3, 8}), ("7,5-6", {5, 6, 7})]
)
def test_lists_of_cpus_are_read_and_written_as_linux_does(text: str, numbers: set[int]) -> None:
    assert parse_list(text) == numbers
    assert parse_list(ranges(numbers)) == numbers


def test_the_boxs_cores_are_read_and_what_it_does_not_tell_is_a_core_each(tmp_path: Path) -> None:
    allowed = read_cores().allowed
    assert allowed
    alone = read_cores(tmp_path)
    assert alone == Cores(
        allowed=allowed, siblings=tuple(frozenset({cpu}) for cpu in sorted(allowed))
    )
    first = min(allowed)
    told = tmp_path / f"sys/devices/system/cpu/cpu{first}/topology/thread_siblings_list"
    told.parent.mkdir(parents=True)
    told.write_text(f"{first},{first + 64}\n")
    assert frozenset({first, first + 64}) in read_cores(tmp_path).siblings

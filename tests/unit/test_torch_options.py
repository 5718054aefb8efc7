"""Where engine ``torch`` puts a model and in which numbers; runs without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from mesh.errors import ConfigError, ModelFileError
from mesh.types import Sampling
from node.engines.base import ModelSpec
from node.engines.draws import Draws, uniform_at
from node.engines.torch.options import TorchDevice, TorchOptions, number_format, place, read_options


@dataclass(frozen=True)
class Card:
    uuid: str
    major: int
    minor: int


class Cards:
    """What ``torch.cuda`` would say."""

    def __init__(self, *cards: Card) -> None:
        self._cards = cards

    def is_available(self) -> bool:
        return bool(self._cards)

    def device_count(self) -> int:
        return len(self._cards)

    def get_device_properties(self, device: int) -> Card:
        return self._cards[device]


PASCAL, AMPERE = Card("aaaa", 6, 1), Card("bbbb", 8, 6)


def spec(**changes: Any) -> ModelSpec:
    values: dict[str, Any] = {"id": "m", "source": "x", "slots": 1, "threads": 1}
    return ModelSpec(**(values | {"context_length": 64} | changes))


@pytest.mark.parametrize(
    ("device", "cards", "gpu_layers", "name", "label"),
    [
        ("", Cards(), -1, "cpu", "cpu"),
        ("", Cards(AMPERE), 0, "cpu", "cpu"),
        ("cpu", Cards(AMPERE), -1, "cpu", "cpu"),
        ("", Cards(PASCAL, AMPERE), -1, "cuda:0", "GPU-aaaa"),
        ("cuda", Cards(PASCAL, AMPERE), -1, "cuda:0", "GPU-aaaa"),
        ("cuda:1", Cards(PASCAL, AMPERE), -1, "cuda:1", "GPU-bbbb"),
        ("GPU-bbbb", Cards(PASCAL, AMPERE), -1, "cuda:1", "GPU-bbbb"),
    ],
)
def test_a_model_goes_where_it_is_told(
    device: str, cards: Cards, gpu_layers: int, name: str, label: str
) -> None:
    at = place(spec(gpu_layers=gpu_layers), TorchOptions(device=device), cards, None)
    assert (at.name, at.label) == (name, label)


def test_the_one_gpu_that_a_runner_is_shown_is_the_one_it_was_planned_on() -> None:
    at = place(spec(), TorchOptions(device="MIG-1234"), Cards(AMPERE), "MIG-1234")
    assert (at.name, at.label) == ("cuda:0", "MIG-1234")


@pytest.mark.parametrize("device", ["cuda", "GPU-aaaa"])
def test_what_is_meant_for_a_gpu_never_goes_to_the_cpu_in_silence(device: str) -> None:
    with pytest.raises(ModelFileError, match="sees none"):
        place(spec(), TorchOptions(device=device), Cards(), None)


def test_a_gpu_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ModelFileError, match=r"GPU-cccc.* there are GPU-aaaa, GPU-bbbb"):
        place(spec(), TorchOptions(device="GPU-cccc"), Cards(PASCAL, AMPERE), None)
    with pytest.raises(ModelFileError, match="gpu_layers"):
        place(spec(gpu_layers=12), TorchOptions(), Cards(AMPERE), None)


@pytest.mark.parametrize(
    ("wanted", "capability", "stored", "expected"),
    [
        ("auto", None, "bfloat16", "float32"),
        ("bfloat16", None, "float32", "bfloat16"),
        ("auto", (8, 6), "bfloat16", "bfloat16"),
        ("auto", (8, 6), "float32", "float32"),
        ("auto", (6, 1), "bfloat16", "float16"),
        ("auto", (5, 2), "bfloat16", "float32"),
        ("float16", (6, 1), "bfloat16", "float16"),
    ],
)
def test_numbers_are_those_that_the_device_computes_in(
    wanted: Any, capability: tuple[int, int] | None, stored: str, expected: str
) -> None:
    at = TorchDevice(name="cuda:0", label="GPU-aaaa", capability=capability)
    assert number_format(spec(), TorchOptions(dtype=wanted), at, stored) == expected


def test_a_format_that_the_card_cannot_do_is_refused_with_those_it_can() -> None:
    at = TorchDevice(name="cuda:0", label="GPU-aaaa", capability=(6, 1))
    with pytest.raises(ModelFileError, match=r"8\.0, and GPU GPU-aaaa has 6\.1; .*float16"):
        number_format(spec(), TorchOptions(dtype="bfloat16"), at, "bfloat16")


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"options": {"wrods": 1}}, ConfigError, "'wrods'.*known: batch, device, dtype"),
        ({"options": {"dtype": "int3"}}, ConfigError, "int3"),
        ({"options": {"batch": 0}}, ConfigError, "batch"),
        ({"slots": 0}, ModelFileError, "slots"),
        ({"context_length": 0}, ModelFileError, "context_length"),
    ],
)
def test_a_bad_setting_is_refused_by_name(
    changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_options(spec(**changes))


def test_a_draw_depends_on_seed_and_position_alone() -> None:
    whole = Draws(Sampling(seed=7), fresh=1, position=0)
    numbers = [whole.random() for _ in range(10)]
    later = Draws(Sampling(seed=7), fresh=2, position=4)
    later.skip()
    assert [later.random() for _ in range(5)] == numbers[5:]
    assert len(set(numbers)) == 10
    assert all(0 <= number < 1 for number in numbers)
    assert uniform_at(8, 0) != numbers[0]

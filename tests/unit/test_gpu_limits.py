"""Power and clock limits: only when asked for, put back at the end, and after a kill too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynvml
import pytest

from mesh.errors import ConfigError
from mesh.settings.gpu import GpuLimits
from mesh.settings.load import load
from mesh.settings.node import NodeSettings
from node.hardware.care.limits import FILE, limited


@dataclass
class Card:
    uuid: str
    power_mw: int = 250_000
    locked: tuple[int, int] | None = None
    refuses: int | None = None  # to be changed


class Limits:
    """The part of ``pynvml`` that limits use. ``calls``: what changed a card."""

    NVMLError = pynvml.NVMLError
    NVML_ERROR_NO_PERMISSION = pynvml.NVML_ERROR_NO_PERMISSION

    def __init__(self, *cards: Card, driver: int | None = None) -> None:
        self.cards = cards
        self.driver = driver
        self.inits = 0

    def nvmlInit(self) -> None:
        self.inits += 1
        if self.driver is not None:
            raise pynvml.NVMLError(self.driver)

    def nvmlShutdown(self) -> None:
        self.inits -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        return self.cards[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Card:
        for card in self.cards:
            if card.uuid == uuid:
                return card
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, card: Card) -> str:
        return card.uuid

    def nvmlDeviceGetPowerManagementLimitConstraints(self, card: Card) -> list[int]:
        return [100_000, 300_000]

    def nvmlDeviceGetPowerManagementLimit(self, card: Card) -> int:
        return card.power_mw

    def nvmlDeviceSetPowerManagementLimit(self, card: Card, milliwatts: int) -> None:
        self._allowed(card)
        card.power_mw = milliwatts

    def nvmlDeviceSetGpuLockedClocks(self, card: Card, low: int, high: int) -> None:
        self._allowed(card)
        card.locked = (low, high)

    def nvmlDeviceResetGpuLockedClocks(self, card: Card) -> None:
        self._allowed(card)
        card.locked = None

    def _allowed(self, card: Card) -> None:
        if card.refuses is not None:
            raise pynvml.NVMLError(card.refuses)


def power(watts: float, gpu: str = "GPU-a") -> GpuLimits:
    return GpuLimits(gpu=gpu, power_w=watts)


def test_without_limits_the_driver_is_not_even_asked(tmp_path: Path) -> None:
    nvml = Limits(Card("GPU-a"))
    nvml.nvmlInit = lambda: pytest.fail("NVML was initialised")  # type: ignore[assignment]
    with limited((), tmp_path, nvml):
        pass
    assert not (tmp_path / FILE).exists()


def test_limits_hold_until_the_end_and_then_all_is_as_before(tmp_path: Path) -> None:
    a, b = Card("GPU-a"), Card("GPU-b", power_mw=220_000)
    nvml = Limits(a, b)
    with limited((GpuLimits(gpu="GPU-a", power_w=150.0, clock_mhz=1500),), tmp_path, nvml):
        assert (a.power_mw, a.locked) == (150_000, (0, 1500))
        assert (b.power_mw, b.locked) == (220_000, None)
    assert (a.power_mw, a.locked, nvml.inits) == (250_000, None, 0)
    assert not (tmp_path / FILE).exists()


def test_all_means_every_card(tmp_path: Path) -> None:
    cards = Card("GPU-a"), Card("GPU-b", power_mw=220_000)
    with limited((power(120.0, "all"),), tmp_path, Limits(*cards)):
        assert [card.power_mw for card in cards] == [120_000, 120_000]
    assert [card.power_mw for card in cards] == [250_000, 220_000]


class Killed(BaseException):
    pass


def killed(limits: tuple[GpuLimits, ...], folder: Path, nvml: Limits) -> None:
    """A node with limits, killed: what it wrote is all that is left of it."""
    block = limited(limits, folder, nvml)
    block.__enter__()
    note = (folder / FILE).read_bytes()
    assert not block.__exit__(Killed, Killed(), None)
    for card in nvml.cards:  # it would not have put them back
        card.power_mw, card.locked = 150_000, (0, 1500)
    (folder / FILE).write_bytes(note)


def test_what_a_killed_node_left_is_put_back_at_the_next_start(tmp_path: Path) -> None:
    card = Card("GPU-a")
    killed((GpuLimits(gpu="GPU-a", power_w=150.0, clock_mhz=1500),), tmp_path, Limits(card))
    with limited((), tmp_path, Limits(card)):
        assert (card.power_mw, card.locked) == (250_000, None)
    assert not (tmp_path / FILE).exists()


def test_after_a_kill_new_limits_start_from_the_cards_own(tmp_path: Path) -> None:
    card = Card("GPU-a")
    killed((power(150.0),), tmp_path, Limits(card))
    with limited((power(200.0),), tmp_path, Limits(card)):
        assert card.power_mw == 200_000
    assert card.power_mw == 250_000


def test_what_cannot_be_put_back_yet_is_not_forgotten(tmp_path: Path) -> None:
    card = Card("GPU-a")
    killed((power(150.0),), tmp_path, Limits(card))
    with limited((), tmp_path, Limits()):  # the card is away
        pass
    with limited((), tmp_path, Limits(card, driver=pynvml.NVML_ERROR_DRIVER_NOT_LOADED)):
        pass
    assert card.power_mw == 150_000
    with limited((), tmp_path, Limits(card)):
        assert card.power_mw == 250_000


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff\xfe", b'[{"uuid":4}]', b"[" * 70_000])
def test_a_damaged_note_is_no_reason_not_to_start(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    card = Card("GPU-a")
    with limited((power(150.0),), tmp_path, Limits(card)):
        assert card.power_mw == 150_000
    assert card.power_mw == 250_000


@pytest.mark.parametrize(
    ("limits", "make", "words"),
    [
        (
            power(150.0),
            lambda: Limits(Card("GPU-a", refuses=pynvml.NVML_ERROR_NO_PERMISSION)),
            "may not set the power limit of GPU GPU-a; start the node as root",
        ),
        (
            GpuLimits(gpu="GPU-a", clock_mhz=1500),
            lambda: Limits(Card("GPU-a", refuses=pynvml.NVML_ERROR_NO_PERMISSION)),
            "may not set the graphics clock of GPU GPU-a",
        ),
        (
            GpuLimits(gpu="GPU-a", clock_mhz=1500),
            lambda: Limits(Card("GPU-a", refuses=pynvml.NVML_ERROR_NOT_SUPPORTED)),
            "cannot set the graphics clock of GPU GPU-a: Not Supported",
        ),
        (power(500.0), lambda: Limits(Card("GPU-a")), "takes a power limit of 100 to 300 W"),
        (
            power(150.0),
            lambda: Limits(Card("GPU-b")),
            "no GPU GPU-a on this box; there are: .*GPU-b",
        ),
        (
            power(150.0),
            lambda: Limits(driver=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND),
            "the NVIDIA driver does not answer",
        ),
    ],
)
def test_a_limit_that_cannot_be_had_is_refused_and_nothing_stays_changed(
    tmp_path: Path, limits: GpuLimits, make: Callable[[], Any], words: str
) -> None:
    nvml = make()
    good = Card("GPU-good")
    nvml.cards = (good, *nvml.cards)
    with (
        pytest.raises(ConfigError, match=words),
        limited((power(200.0, "GPU-good"), limits), tmp_path, nvml),
    ):
        pytest.fail("the node was started")
    assert (good.power_mw, good.locked) == (250_000, None)
    assert not (tmp_path / FILE).exists()


def test_a_box_without_gpus_says_so(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="there are: none"),
        limited((power(1.0),), tmp_path, Limits()),
    ):
        pytest.fail("the node was started")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ([{"gpu": "0", "power_w": 100}], "is not the UUID of a card"),
        ([{"gpu": "all"}], "limits nothing"),
        ([{"gpu": "all", "power_w": 0}], "power_w must be watts"),
        ([{"gpu": "all", "power_w": float("nan")}], "power_w must be watts"),
        ([{"gpu": "all", "clock_mhz": -5}], "clock_mhz must be MHz"),
        ([{"gpu": "all", "watts": 100}], "unknown key 'gpu_limits.watts'"),
        ([{"gpu": "all", "power_w": 1}, {"gpu": "all", "power_w": 2}], "twice"),
        ([{"gpu": "all", "power_w": 1}, {"gpu": "GPU-a", "power_w": 2}], "one or the other"),
    ],
)
def test_bad_settings_name_the_key(limits: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(NodeSettings, {"name": "n", "gpu_limits": limits})


def test_good_settings_are_read_and_the_default_is_to_leave_gpus_alone() -> None:
    assert load(NodeSettings, {"name": "n"}).gpu_limits == ()
    settings = load(NodeSettings, {"name": "n", "gpu_limits": [{"gpu": "GPU-a", "power_w": 150}]})
    assert settings.gpu_limits == (power(150.0),)

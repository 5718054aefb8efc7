"""What of a box is built for, how long it may take, and in which words a card is spoken of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.errors import ConfigError
from node.engines.llama_cpp.cuda.cards import Version, architecture, compiles, shown, wanted
from node.engines.llama_cpp.cuda.plan import Box, Card, Toolkit, build_plan, describe

GTX_1080 = Card(name="GTX 1080", capability=(6, 1))
RTX_4070 = Card(name="RTX 4070", capability=(8, 9))
H200 = Card(name="H200", capability=(9, 0))
RTX_5090 = Card(name="RTX 5090", capability=(12, 0))
GTX_680 = Card(name="GTX 680", capability=(3, 0))
MUTE = Card(name="?", capability=None)
NEXT = Card(name="Rubin", capability=(14, 0))


def toolkit(*version: int) -> Toolkit:
    return Toolkit(folder=f"/cuda-{version}", version=(version[0], version[1]))


BOX = Box(
    cards=(GTX_1080,),
    driver=(12, 8),
    no_driver="",
    toolkits=(toolkit(12, 4),),
    compiler=True,
    cores=5,
    memory_bytes=32 * 10**9,
)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (GTX_1080, "GTX 1080 (Pascal, 6.1)"),
        (NEXT, "Rubin (14.0)"),
        (MUTE, "?"),
    ],
)
def test_a_card_is_described_by_what_is_known_of_it(card: Card, words: str) -> None:
    assert describe(card) == words


@pytest.mark.parametrize(
    ("version", "capability", "does"),
    [
        ((11, 0), (6, 1), True),
        ((10, 2), (6, 1), False),
        ((12, 9), (6, 1), True),
        ((13, 0), (6, 1), False),
        ((13, 0), (7, 5), True),
        ((12, 7), (12, 0), False),
        ((12, 8), (12, 0), True),
        ((12, 9), (14, 0), False),  # the newest of the table makes nothing for one beyond it
        ((13, 0), (14, 0), True),
        ((13, 0), (5, 0), False),
        ((13, 0), (3, 0), False),
        ((12, 4), (5, 0), True),
    ],
)
def test_a_toolkit_compiles_for_cards_of_its_time(
    version: Version, capability: Version, does: bool
) -> None:
    assert compiles(version, capability) is does


def test_a_card_beyond_the_table_wants_the_newest() -> None:
    assert architecture((14, 0)) is None
    assert wanted((14, 0)) == "the newest CUDA toolkit"
    assert wanted((6, 1)) == "CUDA 11.0 to 12.x"
    assert wanted((8, 9)) == "CUDA 11.8 or newer"
    assert shown((12, 4)) == "12.4"


def test_every_card_that_is_left_out_is_named_with_why() -> None:
    cards = (GTX_1080, RTX_5090, GTX_680, MUTE)
    assert build_plan(replace(BOX, cards=cards)).left_out == (
        "RTX 5090: wants CUDA 12.8 or newer, and this is 12.4",
        "GTX 680: compute capability 3.0 is too old",
        "?: its driver does not say what it can compute",
    )


@pytest.mark.parametrize(
    ("cores", "gigabytes", "cards", "minutes"),
    [
        (1, 32, (GTX_1080,), 25.0),
        (5, 32, (GTX_1080,), 5.0),
        (5, 4, (GTX_1080,), 12.5),
        (1, 32, (GTX_1080, RTX_4070), 33.0),
        (1, 32, (GTX_1080, RTX_4070, RTX_4070, H200), 41.0),
    ],
)
def test_the_guess_grows_with_the_kinds_of_cards_and_shrinks_with_the_jobs(
    cores: int, gigabytes: int, cards: tuple[Card, ...], minutes: float
) -> None:
    box = replace(BOX, cores=cores, memory_bytes=gigabytes * 10**9, cards=cards)
    assert build_plan(box).minutes == pytest.approx(minutes)


def test_the_toolkit_is_for_the_most_cards_then_the_drivers_then_the_newest() -> None:
    def best(driver: Version | None, *cards: Card) -> str:
        kits = (toolkit(12, 4), toolkit(12, 8), toolkit(13, 0))
        return build_plan(replace(BOX, driver=driver, cards=cards, toolkits=kits)).name

    assert best((13, 0), GTX_1080, RTX_5090) == "cuda12.8-sm61-sm120"
    assert best((13, 0), RTX_4070) == "cuda13.0-sm89"
    assert best((12, 2), RTX_4070) == "cuda12.8-sm89"
    assert best(None, RTX_4070) == "cuda13.0-sm89", "no driver yet: none is in the way"


@pytest.mark.parametrize(
    ("box", "says"),
    [
        (
            replace(BOX, toolkits=(), cards=(GTX_1080, RTX_5090, H200)),
            "no CUDA toolkit is here (nvcc): install CUDA 11.0 to 12.x and CUDA 12.8 or newer, as ",
        ),
        (
            replace(BOX, toolkits=(), cards=(GTX_1080, GTX_1080)),
            "no CUDA toolkit is here (nvcc): install CUDA 11.0 to 12.x, as ",
        ),
        (
            replace(BOX, toolkits=(toolkit(13, 0), toolkit(13, 1)), driver=None),
            "CUDA 13.0, 13.1 compiles for none of GTX 1080 (Pascal, 6.1): install CUDA 11.0 to "
            "12.x beside it",
        ),
        (
            replace(BOX, driver=(11, 8)),
            "the driver runs CUDA 11.x and the toolkit here is 12.4: update the driver, or install "
            "CUDA 11.x",
        ),
        (
            replace(BOX, cards=(GTX_680, replace(GTX_680, name="GT 640"), MUTE)),
            "llama.cpp's CUDA code wants compute capability 5.0 or newer, and this box has GTX 680 "
            "(3.0), GT 640 (3.0); its CPU serves",
        ),
        (
            replace(BOX, cards=(MUTE, MUTE)),
            "the driver does not say what ?, ? can compute; update the driver",
        ),
    ],
)
def test_what_is_missing_is_said_once_and_to_the_point(box: Box, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build_plan(box)
    assert raised.value.message.startswith(says)


def test_the_oldest_card_that_counts_is_built_for() -> None:
    old = Card(name="GTX 750 Ti", capability=(5, 0))
    newer = replace(BOX, cards=(old, RTX_4070, H200), toolkits=(toolkit(13, 0),), driver=None)
    assert build_plan(newer).left_out == ("GTX 750 Ti: wants CUDA 11.0 to 12.x, and this is 13.0",)
    assert build_plan(replace(BOX, cards=(old,))).name == "cuda12.4-sm50"

"""A pull told in lines: what is said of each event, how often, and how much of it all is here."""

from __future__ import annotations

import pytest

from node.models.hub.choice import HubFile, Offer
from node.models.hub.events import Begins, Cut, Event, Got, Picked, Waits, Whole
from node.models.hub.repository import Repository
from node.models.hub.source import HubSource, read
from node.models.hub.told import EVERY_S, Lines, Pace, Share, begins, picked, progress, whole

MIB = 2**20


def offer(quantisation: str, *sizes: int, name: str = "m") -> Offer:
    files = [HubFile(name=f"{name}-{n}.gguf", size=size) for n, size in enumerate(sizes)]
    return Offer(files=tuple(files), quantisation=quantisation)


ONE = offer("Q4_K_M", 300 * MIB, name="one")
TWO = offer("Q8_0", 500 * MIB, 100 * MIB, name="two")
BARE = offer("", 100 * MIB, name="bare")


def picks(source: str, one: Offer, *others: Offer, licence: str = "", missing: int = 0) -> Picked:
    repository = Repository(name="a/b", commit="c", files=(), licence=licence)
    return Picked(read(source), repository, one, (one, *others), missing)


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (picks("hf:a/b", ONE), ["a/b: one-0.gguf, 300 MiB"]),
        (picks("hf:a/b", ONE, licence="mit"), ["a/b: one-0.gguf, 300 MiB, licence mit"]),
        (picks("hf:a/b", TWO), ["a/b: two-0.gguf, 600 MiB in 2 files"]),
        (
            picks("hf:a/b", ONE, TWO, BARE),
            [
                "a/b: one-0.gguf, 300 MiB",
                "there is also: bare-0.gguf 100 MiB, Q8_0 600 MiB; say which with hf:a/b:QUANT",
            ],
        ),
        (picks("hf:a/b:Q4_K_M", ONE, TWO), ["a/b: one-0.gguf, 300 MiB"]),
        (picks("hf:a/b/one-0.gguf", ONE, TWO), ["a/b: one-0.gguf, 300 MiB"]),
    ],
)
def test_what_was_picked_and_what_else_there_is(event: Picked, lines: list[str]) -> None:
    assert picked(event) == lines


def test_names_of_strangers_are_cleaned_and_cut() -> None:
    hostile = "\x1b[2J" + "x" * 500 + ".gguf"
    bad = Offer(files=(HubFile(name=hostile),), quantisation="")
    lines = [
        *picked(picks("hf:a/b", bad, ONE)),
        *picked(picks("hf:a/b", ONE, bad)),
        begins(Begins(hostile, 1, 1, MIB, 0)),
        whole(hostile, ""),
    ]
    for line in lines:
        assert "\x1b" not in line
        assert len(line) < 180
    said: list[str] = []
    tell = Lines(said.append, lambda: 0.0)
    tell(Waits(hostile))
    tell(Cut(hostile, 1.0))
    assert not any("\x1b" in line for line in said)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (Begins("m.gguf", 1, 1, 300 * MIB, 0), "pulling m.gguf: 300 MiB"),
        (Begins("m.gguf", 2, 3, 300 * MIB, 0), "pulling m.gguf (2 of 3): 300 MiB"),
        (
            Begins("m.gguf", 1, 2, 300 * MIB, MIB),
            "pulling m.gguf (1 of 2): 300 MiB, going on from 1 MiB",
        ),
        (Begins("m.gguf", 1, 1, 300, 1), "pulling m.gguf: 0 MiB, going on from 0 MiB"),
        (Waits("m.gguf"), "another process pulls m.gguf: waiting for it"),
        (Cut("reset", 2.0), "the connection was lost (reset): again in 2.0 s"),
        (Whole("m.gguf", "SHA-256"), "m.gguf is here: its SHA-256 is right"),
        (Whole("m.gguf", ""), "m.gguf is here: the hub gives no hash to check it by"),
        (picks("hf:a/b", ONE), "a/b: one-0.gguf, 300 MiB"),
    ],
)
def test_each_event_is_a_line(event: Event, line: str) -> None:
    said: list[str] = []
    Lines(said.append, lambda: 0.0)(event)
    assert said == [line]


def test_progress_is_said_after_a_while_and_from_where_this_pull_began() -> None:
    now = [1000.0]
    said: list[str] = []
    tell = Lines(said.append, lambda: now[0])
    tell(Got(5))  # of no file
    tell(Begins("m.gguf", 1, 1, 100 * MIB, 50 * MIB))
    now[0] += EVERY_S - 0.1
    tell(Got(59 * MIB))
    assert len(said) == 1
    now[0] += 0.1
    tell(Got(60 * MIB))
    assert said[1:] == ["60% of 100 MiB, 1 MiB/s, 40 s left"]
    now[0] += EVERY_S - 0.1
    tell(Got(61 * MIB))
    tell(Begins("n.gguf", 1, 1, 100 * MIB, 0))
    now[0] += 0.1
    tell(Got(1 * MIB))
    assert said[-1].startswith("pulling n.gguf"), "a new file, a new pace"


def test_a_pace_is_of_what_came_and_begins_anew_with_the_hub() -> None:
    pace = Pace(10, 100.0)
    assert pace.rate == 0.0
    pace.at(30, 100.0)
    assert pace.rate == 0.0, "no time has passed"
    pace.at(30, 104.0)
    assert pace.rate == 5.0
    pace.at(30, 110.0)
    assert pace.rate == 2.0
    pace.at(0, 110.0)
    assert pace.rate == 0.0
    pace.at(8, 111.0)
    assert pace.rate == 8.0


def test_what_is_left_is_not_guessed_without_a_pace() -> None:
    file = Begins("m.gguf", 1, 1, 300 * MIB, 0)
    pace = Pace(0, 0.0)
    assert progress(file, 3 * MIB, pace) == "1% of 300 MiB, 0 MiB/s"
    pace.at(100 * MIB, 50.0)
    assert progress(file, 100 * MIB, pace) == "33% of 300 MiB, 2 MiB/s, 100 s left"
    slow = Pace(0, 0.0)
    slow.at(1, 2.0)
    assert progress(Begins("m.gguf", 1, 1, 4, 0), 1, slow) == "25% of 0 MiB, 0 MiB/s, 6.0 s left"


def test_the_share_counts_all_files_of_a_model_whatever_was_here() -> None:
    told: list[int] = []
    events: list[Event] = []
    share = Share(events.append, told.append)
    picked_ = picks("hf:a/b", offer("Q8_0", 100, 60, 40), missing=90)
    # Of the first all is here, of the second ten bytes, of the third none.
    sent: list[Event] = [
        picked_,
        Begins("m-1.gguf", 1, 2, 60, 10),
        Got(10),
        Got(40),
        Got(0),
        Got(60),
        Whole("m-1.gguf", ""),
        Begins("m-2.gguf", 2, 2, 40, 0),
        Got(38),
        Got(45),
        Whole("m-2.gguf", ""),
    ]
    for event in sent:
        share(event)
    assert events == sent
    assert told == [55, 55, 70, 50, 80, 80, 80, 99, 100, 100]


@pytest.mark.parametrize(("sizes", "shares"), [((1,), [0, 100]), ((1, 1, 1), [0, 33, 33])])
def test_the_smallest_model_has_shares_in_whole_percents(
    sizes: tuple[int, ...], shares: list[int]
) -> None:
    told: list[int] = []
    share = Share(lambda _: None, told.append)
    share(picks("hf:a/b", offer("Q8_0", *sizes), missing=sum(sizes)))
    for event in (Begins("m", 1, 1, 1, 0), Got(1), Whole("m", ""))[: len(shares)]:
        share(event)
    assert told == shares


def test_a_model_without_a_size_is_no_share() -> None:
    told: list[int] = []
    share = Share(lambda _: None, told.append)
    share(Got(5))
    share(picks("hf:a/b", offer("Q8_0", 0)))
    share(Begins("m", 1, 1, 0, 0))
    assert told == [0, 0]


def test_a_source_says_itself() -> None:
    assert str(HubSource(repo="a/b", file="c/d.gguf")) == "hf:a/b/c/d.gguf"

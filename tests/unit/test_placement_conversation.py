"""Where a conversation goes on: its own node while that is sensible, else the same for all."""

from __future__ import annotations

from collections import Counter

import pytest

from mesh.fleet.placement import Instead, Lack, stand_in
from mesh.fleet.records import ModelState, NodeState
from mesh.fleet.standings import STAY_WAIT_S
from mesh.fleet.work import Work
from mesh.types import Specialty
from tests.unit.test_placement import CHAT, CODE, MATH, NOW, Box, _eligible, _fleet, _place, _rank

CALCULATOR = Specialty("calculator")


def test_a_conversation_stays_on_its_node_though_another_is_emptier() -> None:
    rows = _place(_fleet(Box(name="home", used=3), Box(name="idle")), home="home")
    assert _eligible(rows) == ["home", "idle"]
    assert rows[0].reason == "holds this conversation; resident, 1 of 4 slots free"
    assert rows[0].score > rows[1].score


@pytest.mark.parametrize(
    ("home", "why"),
    [
        (Box(name="home", used=4), "full"),
        (Box(name="home", in_flight=4), "full with this process's own attempts"),
        (Box(name="home", model_state=ModelState.COLD), "not resident any more"),
        (Box(name="home", model_state=ModelState.LOADING), "loading"),
        (Box(name="home", used=1, wait=STAY_WAIT_S + 0.1), "much slower than the best"),
        (Box(name="home", used=1, serves=(CODE,)), "of another specialty"),
        (Box(name="home", used=1, model="other"), "without the model"),
        (Box(name="home", used=1, state=NodeState.DRAINING), "draining"),
        (Box(name="home", used=1, aside=NOW + 5), "set aside"),
        (Box(name="home", used=1, link=False), "cut off"),
        (Box(name="home", used=1, context=1), "too small by now"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_conversation_leaves_a_node_that_is(home: Box, why: str) -> None:
    rows = _place(_fleet(home, Box(name="idle")), home="home")
    assert _eligible(rows)[0] == "idle", why
    assert all("holds" not in row.reason for row in rows)


def test_a_little_longer_wait_is_worth_staying() -> None:
    fleet = _fleet(Box(name="home", used=1, wait=STAY_WAIT_S - 0.1), Box(name="idle"))
    assert _eligible(_place(fleet, home="home"))[0] == "home"


def test_a_home_that_was_tried_already_is_not_tried_again() -> None:
    rows = _place(_fleet(Box(name="home"), Box(name="idle")), home="home", exclude=("home",))
    assert _eligible(rows) == ["idle"]


def test_equals_are_ordered_by_the_conversation_the_same_way_everywhere() -> None:
    boxes = [Box(name=f"n{i}") for i in range(20)]
    first = _eligible(_place(_fleet(*boxes), affinity=b"one"))
    assert first == _eligible(_place(_fleet(*reversed(boxes)), affinity=b"one"))
    assert first != _eligible(_place(_fleet(*boxes), affinity=b"two"))


def test_the_order_of_equals_is_the_same_in_every_version() -> None:
    """Orchestrators of two versions share a fleet while one is replaced by the other."""
    fleet = _fleet(*(Box(name=f"n{i}") for i in range(6)))
    assert _eligible(_place(fleet, affinity=b"one")) == ["n1", "n4", "n5", "n0", "n3", "n2"]
    assert _eligible(_place(fleet)) == ["n3", "n1", "n5", "n2", "n0", "n4"]


def test_conversations_spread_evenly_over_equals() -> None:
    fleet = _fleet(*(Box(name=f"n{i}") for i in range(10)))
    counts = Counter(
        _rank(fleet, affinity=f"c{n}".encode()).best(1)[0].view.record.name for n in range(2000)
    )
    # Binomial(2000, 1/10): mean 200, standard deviation 13.4; five of them either way.
    assert len(counts) == 10
    assert all(133 <= count <= 267 for count in counts.values()), counts


def test_a_node_that_leaves_takes_only_its_own_conversations_along() -> None:
    boxes = [Box(name=f"n{i}") for i in range(8)]
    moved: Counter[str] = Counter()
    for n in range(200):
        key = f"c{n}".encode()
        before = _eligible(_place(_fleet(*boxes), affinity=key))
        after = _eligible(_place(_fleet(*boxes[1:]), affinity=key))
        assert after == [name for name in before if name != "n0"]
        if before[0] == "n0":
            moved[after[0]] += 1
    assert len(moved) > 3, "what it had is shared out, and not put on one other node"


def test_affinity_never_overrules_rank() -> None:
    fleet = _fleet(Box(name="a", used=1), *(Box(name=f"b{i}", used=2) for i in range(9)))
    for n in range(20):
        assert _eligible(_place(fleet, affinity=str(n).encode()))[0] == "a"


def test_the_first_substitute_that_somebody_serves_stands_in() -> None:
    chain = (MATH, CHAT)
    only_chat = _fleet(Box(name="x", serves=(CHAT,)))
    both = _fleet(Box(name="x", serves=(CHAT,)), Box(name="y", serves=(MATH,)))
    assert _eligible(_place(both, CALCULATOR, substitutes=chain)) == ["y"]
    assert _eligible(_place(only_chat, CALCULATOR, substitutes=chain)) == ["x"]
    rows = _place(both, CALCULATOR, substitutes=chain)
    assert rows[0].reason == "no node serves 'calculator'; resident, 4 of 4 slots free"
    assert _eligible(_place(both, CALCULATOR, substitutes=(Specialty("art"),))) == []


def test_a_substitute_that_is_down_is_waited_for_like_a_specialist() -> None:
    fleet = _fleet(
        Box(name="x", serves=(CHAT,)), Box(name="y", serves=(MATH,), state=NodeState.DRAINING)
    )
    assert _eligible(_place(fleet, CALCULATOR, substitutes=(MATH, CHAT))) == []


def test_a_model_that_cannot_answer_gives_way_to_others_of_its_specialty_first() -> None:
    fleet = _fleet(
        Box(name="t1", serves=(CALCULATOR,), model="tools"),
        Box(name="t2", serves=(CALCULATOR,), model="tools"),
        Box(name="x", serves=(CALCULATOR,), model="big", used=3),
        Box(name="y", serves=(MATH,)),
    )
    rows = _place(fleet, CALCULATOR, substitutes=(MATH,), unable=("tools",))
    assert _eligible(rows) == ["x"]
    said = {row.node_name: row.reason for row in rows if not row.eligible}
    assert said["t1"] == said["t2"] == "said that it cannot answer this"


def test_then_the_next_substitute_answers() -> None:
    fleet = _fleet(
        Box(name="t", serves=(CALCULATOR,), model="tools"), Box(name="y", serves=(MATH,))
    )
    rows = _place(fleet, CALCULATOR, substitutes=(MATH, CHAT), unable=("tools",))
    assert _eligible(rows) == ["y"]
    assert rows[0].reason.startswith("no model for 'calculator' can answer this; ")


def test_what_stands_in_is_said_without_ranking_anything() -> None:
    fleet = _fleet(Box(name="x", serves=(CHAT,)))

    def standing_in(specialty: Specialty, *substitutes: Specialty) -> object:
        work = Work(specialty=specialty, model=None, prompt_bytes=1, substitutes=substitutes)
        return stand_in(fleet, work)

    assert standing_in(CHAT, MATH) == (CHAT, None)
    assert standing_in(MATH) == (MATH, None)
    assert standing_in(MATH, CODE) == (MATH, None)
    assert standing_in(MATH, CODE, CHAT) == (CHAT, Instead(Lack.NOBODY_SERVES, MATH))

"""Requests under which engines were lost: known again, told to the others, refused for a while."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import msgspec
import pytest

from mesh.clock import ManualClock
from mesh.errors import EngineLost, FormLost, ProtocolError, Quarantined
from mesh.quarantine import strikes as s
from mesh.quarantine.marks import Marks, marks_of
from mesh.quarantine.quarantine import Quarantine
from mesh.registry.twin import TwinRegistry, TwinStore
from mesh.types import Message, Role, Sampling

HELLO = (Message.of(Role.USER, "hello"),)
OTHER = (Message.of(Role.USER, "good evening"),)
STRIKE = {"mark": f"{1:032x}", "count": 1, "until": 5}
BAD = Sampling(grammar='root ::= "a"')


def marks(messages: tuple[Message, ...] = HELLO, sampling: Sampling = BAD) -> Marks:
    return marks_of(messages, sampling)


@pytest.mark.parametrize(
    "changes", [{"seed": 7}, {"max_tokens": 1}, {"temperature": 1.0}, {"stop": ("x",)}]
)
def test_how_tokens_are_drawn_makes_no_other_request(changes: dict[str, object]) -> None:
    assert marks(sampling=replace(BAD, **changes)) == marks()  # type: ignore[arg-type]


def test_another_conversation_or_form_is_another_request() -> None:
    plain, schema = Sampling(), Sampling(json_schema='root ::= "a"')
    found = {marks(m, p).whole for m in (HELLO, OTHER) for p in (BAD, plain, schema)}
    assert len(found) == 6
    assert marks(HELLO).form == marks(OTHER).form != marks(HELLO, schema).form
    assert marks(HELLO, plain).form == ""
    assert marks_of((), texts=("a",)) != marks_of((), texts=("b",))


async def test_the_second_strike_refuses_it_and_nothing_else() -> None:
    clock = ManualClock()
    quarantine = Quarantine(clock)
    quarantine.check(marks)
    assert quarantine.strike(marks(), EngineLost("hung")) is None
    quarantine.check(marks)
    await clock.advance(100.0)
    refusal = quarantine.strike(marks(), EngineLost("hung\x1b[2J again"))
    assert refusal is not None
    assert refusal.retry_after_s == s.STRIKE_S
    with pytest.raises(Quarantined, match=r"2 times.*the last time: hung again;") as refused:
        quarantine.check(marks)
    assert refused.value.retry_after_s == s.STRIKE_S
    quarantine.check(lambda: marks(OTHER))
    await clock.advance(s.STRIKE_S + 1)
    quarantine.check(marks)


def test_a_form_that_is_to_blame_is_refused_whoever_asks() -> None:
    quarantine = Quarantine(ManualClock())
    assert quarantine.strike(marks(HELLO), FormLost("hung")) is None
    assert quarantine.strike(marks(OTHER), FormLost("hung")) is not None
    with pytest.raises(Quarantined):
        quarantine.check(lambda: marks((Message.of(Role.USER, "third"),)))
    quarantine.check(lambda: marks(HELLO, Sampling()))


def test_nothing_is_hashed_while_nothing_is_kept_out() -> None:
    def never() -> Marks:
        raise AssertionError

    quarantine = Quarantine(ManualClock())
    quarantine.check(never)
    quarantine.strike(marks(), EngineLost("hung"))
    quarantine.check(never)


def test_strikes_are_bounded_and_each_ends_by_itself() -> None:
    own: dict[str, s.Strike] = {}
    for number in range(s.MOST_STRIKES + 9):
        own = s.struck(own, f"{number:032x}", "x" * 9999, 1000.0)
    assert len(own) == s.MOST_STRIKES
    assert f"{8:032x}" not in own
    data = s.encode(own.values())
    assert len(data) < s.MAX_VALUE_BYTES
    assert s.decode(data) == tuple(own.values())
    late = s.struck(own, f"{1:032x}", "late", 1000.0 + s.STRIKE_S)
    assert list(late) == [f"{1:032x}"]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[" * 6000,
        b'{"strikes": 1}',
        b'{"strikes": [{"mark": "x", "count": 1, "until": 5}]}',
        b'{"strikes": [{"mark": "%032x", "count": 1000000, "until": 5}]}' % 1,
        b'{"strikes": [{"mark": "%032x", "count": 1, "until": 1e300}]}' % 1,
        msgspec.json.encode({"strikes": [STRIKE | {"why": "x" * 9999}]}),
        msgspec.json.encode(
            {"strikes": [{"mark": f"{n:032x}", "count": 1, "until": 5} for n in range(65)]}
        ),
        b" " * (s.MAX_VALUE_BYTES + 1),
    ],
)
def test_a_value_that_is_no_list_of_strikes_says_why(value: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        s.decode(value)
    assert len(error.value.message) < 300


def test_a_strike_lasts_no_longer_than_any_does() -> None:
    told = s.Strike(mark=f"{1:032x}", count=2, until=1e10)
    (heard,) = s.heard([told], 1000.0)
    assert heard.until == 1000.0 + s.STRIKE_S
    assert s.totals([[heard]], 1000.0) == {told.mark: heard}
    assert not s.totals([[heard]], 1000.0 + s.STRIKE_S)
    assert not s.heard([told], 1e10)


def test_a_clock_that_is_set_back_keeps_nobody_out_for_longer() -> None:
    clock = ManualClock()
    wall = clock.wall()
    clock.wall = lambda: wall  # type: ignore[method-assign]
    quarantine, marks = Quarantine(clock), Marks(whole=f"{1:032x}", form="")
    for _ in range(s.STRIKES):
        quarantine.strike(marks, EngineLost("gone"))
    wall -= 1.0  # a correction
    with pytest.raises(Quarantined):
        quarantine.check(lambda: marks)
    wall -= 7200.0
    quarantine.check(lambda: marks)
    assert quarantine.strike(marks, EngineLost("gone")) is None, "it begins anew"


async def test_strikes_count_over_the_fleet_and_outlive_who_told_them() -> None:
    clock, store = ManualClock(), TwinStore()
    sessions = [TwinRegistry(store, lease_ttl_s=5.0, clock=clock) for _ in range(3)]
    first, second, third = (
        Quarantine(clock, session, name) for session, name in zip(sessions, "abc", strict=True)
    )

    async def soon() -> None:
        await clock.advance(1.0)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part.run()) for part in (*sessions, first, second, third)]
        await soon()
        assert first.strike(marks(), EngineLost("hung")) is None
        await soon()
        assert second.strike(marks(), EngineLost("hung")) is not None
        await soon()
        for each in (first, second, third):
            with pytest.raises(Quarantined):
                each.check(marks)
        await sessions[2].put("quarantine/stranger", b"[" * 6000)
        told = s.encode([s.Strike(mark=marks(OTHER).whole, count=2, until=1e11)])
        await sessions[2].put("quarantine/for good", told)
        await soon()
        with pytest.raises(Quarantined):
            first.check(lambda: marks(OTHER))
        tasks[1].cancel()
        await soon()
        with pytest.raises(Quarantined):
            third.check(marks)
        await clock.advance(s.STRIKE_S)
        await soon()
        third.check(marks)
        first.check(lambda: marks(OTHER))
        await clock.advance(31.0)
        first.check(lambda: marks(OTHER))
        await soon()
        assert set(store.snapshot("quarantine/")) == {"quarantine/stranger", "quarantine/for good"}
        for task in tasks:
            task.cancel()

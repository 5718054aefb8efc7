"""Snapshot differences, and the buffer that rests on them."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.registry.base import Change, Delete, Put
from mesh.registry.diff import apply, diff
from mesh.registry.feed import Feed

KEYS = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.sampled_from([b"", b"1", b"2"])
SNAPSHOTS = st.dictionaries(KEYS, VALUES)
CHANGES = st.one_of(st.builds(Put, KEYS, VALUES), st.builds(Delete, KEYS))


NAMES = st.sampled_from([f"k{number}" for number in range(8)])
SIZES = st.sampled_from([b"", b"x", b"x" * 15, b"x" * 60])


@given(SNAPSHOTS, SNAPSHOTS)
def test_a_diff_applied_to_before_gives_after_and_says_nothing_needless(
    before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    state = dict(before)
    changes = diff(before, after)
    assert apply(state, changes) == changes
    assert state == after
    assert diff(after, after) == ()


def test_a_diff_lists_deletions_first_and_keys_in_order() -> None:
    before = {"gone": b"1", "kept": b"1", "changed": b"1"}
    after = {"new": b"1", "kept": b"1", "changed": b"2"}
    assert diff(before, after) == (Delete("gone"), Put("changed", b"2"), Put("new", b"1"))


def test_applying_what_is_so_already_is_no_news() -> None:
    state = {"a": b"1"}
    changes = (Put("a", b"1"), Delete("b"), Put("a", b"2"), Delete("a"), Delete("a"))
    assert apply(state, changes) == (Put("a", b"2"), Delete("a"))
    assert state == {}


@given(
    st.lists(st.one_of(SNAPSHOTS, st.lists(CHANGES, max_size=3), st.none()), max_size=40),
    st.integers(min_value=1, max_value=4),
)
def test_whatever_a_reader_misses_it_ends_with_the_writers_state(
    steps: list[dict[str, bytes] | list[Change] | None], limit: int
) -> None:
    """A dict: the writer took a snapshot; a list: it saw changes; None: the reader reads one."""

    async def scenario() -> None:
        feed = Feed(limit)
        truth: dict[str, bytes] = {}
        seen: dict[str, bytes] = {}

        async def read(*, first: bool) -> bool:
            try:
                async with asyncio.timeout(0):
                    batch = await feed.next()
            except TimeoutError:
                return False
            assert batch or first
            assert apply(seen, batch) == batch
            return True

        feed.replace({})
        assert await read(first=True)
        for step in steps:
            match step:
                case None:
                    await read(first=False)
                case dict():
                    truth = dict(step)
                    feed.replace(step)
                case list():
                    apply(truth, step)
                    feed.apply(step)
            assert feed.depth <= limit
        while await read(first=False):
            pass
        assert seen == truth

    asyncio.run(scenario())


async def test_a_reader_that_keeps_up_sees_every_change_in_its_batch() -> None:
    feed = Feed(limit=2)
    feed.replace({"a": b"1"})
    assert await feed.next() == (Put("a", b"1"),)
    feed.apply([Put("a", b"2"), Put("b", b"1")])
    feed.apply([Delete("a")])
    assert await feed.next() == (Put("a", b"2"), Put("b", b"1"))
    assert await feed.next() == (Delete("a"),)


async def test_what_cancels_out_while_the_reader_lags_is_not_told() -> None:
    feed = Feed(limit=1)
    feed.replace({})
    assert await feed.next() == ()
    feed.apply([Put("a", b"1")])
    feed.apply([Delete("a")])
    feed.apply([Put("b", b"1")])
    assert await feed.next() == (Put("b", b"1"),)


@given(
    st.lists(
        st.one_of(
            st.dictionaries(NAMES, SIZES, max_size=8),
            st.lists(st.tuples(NAMES, st.none() | SIZES), max_size=6),
        ),
        max_size=12,
    )
)
async def test_a_feed_holds_no_more_than_its_limits_and_says_what_it_leaves_out(
    steps: list[dict[str, bytes] | list[tuple[str, bytes | None]]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mesh.registry.feed.MAX_KEYS", 4)
        patch.setattr("mesh.registry.feed.MAX_BYTES", 40)
        feed = Feed(what="nodes/")
        truth: dict[str, bytes] = {}
        seen: dict[str, bytes] = {}
        feed.replace({})
        for step in steps:
            if isinstance(step, dict):
                truth = dict(step)
                feed.replace(step)
            else:
                changes = [Delete(k) if v is None else Put(k, v) for k, v in step]
                apply(truth, changes)
                feed.apply(changes)
            if feed.wants_snapshot:
                feed.replace(truth)
            while feed.depth:
                apply(seen, await feed.next())
            assert len(seen) <= 4
            assert sum(len(key) + len(value) for key, value in seen.items()) <= 40
            if not feed.shortfall:
                assert seen == truth

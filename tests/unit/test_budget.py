"""One budget over what requests hold: who gets in, who waits, who is refused, what comes back."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.budget import LARGE_PART, MOST_WAITING, Budget
from mesh.errors import Overloaded

MIB = 2**20


async def test_large_requests_leave_the_last_quarter_to_small_ones() -> None:
    budget = Budget(100, wait_s=0.01)
    with await budget.share(75, large=True):
        with pytest.raises(Overloaded):
            await budget.share(1, large=True)
        with await budget.share(25, large=False):
            with pytest.raises(Overloaded):
                await budget.share(1, large=False)
            assert budget.held == 100
    assert budget.held == 0


async def test_what_comes_back_goes_to_who_waited_first() -> None:
    budget = Budget(100)
    first = await budget.share(75, large=True)
    got: list[int] = []

    async def wait(number: int) -> None:
        with await budget.share(60, large=True):
            got.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(wait(number))
        await asyncio.sleep(0)
        assert budget.waiting == 3
        first.release()
        first.release()
    assert got == [0, 1, 2]
    assert (budget.held, budget.waiting) == (0, 0)


async def test_a_refusal_says_why_and_when_to_come_back() -> None:
    budget = Budget(8 * MIB, wait_s=0.01)
    with (
        await budget.share(6 * MIB, large=True),
        pytest.raises(Overloaded, match=r"hold 6\.0 of the 8\.0 MiB .* needs 3\.0") as refused,
    ):
        await budget.share(3 * MIB, large=True)
    assert refused.value.retry_after_s
    assert budget.waiting == 0


async def test_the_line_itself_is_bounded() -> None:
    budget = Budget(1)
    with await budget.share(1, large=False):
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(budget.share(1, large=False)) for _ in range(MOST_WAITING)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await budget.share(1, large=False)
            for task in waiting:
                task.cancel()
    assert (budget.held, budget.waiting) == (0, 0)


async def test_who_is_cancelled_in_line_gives_back_what_it_was_granted() -> None:
    budget = Budget(10)
    first = await budget.share(10, large=False)
    task = asyncio.ensure_future(budget.share(10, large=False))
    await asyncio.sleep(0)
    first.release()  # granted, and not yet taken
    task.cancel()
    await asyncio.wait([task])
    assert budget.held == 0


async def test_one_that_weighs_more_than_all_is_let_in_alone() -> None:
    budget = Budget(10, wait_s=0.01)
    with await budget.share(100, large=True), pytest.raises(Overloaded):
        await budget.share(1, large=False)
    assert budget.held == 0


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans(), st.integers(0, 120)), max_size=30))
def test_it_is_never_overdrawn_and_all_of_it_comes_back(
    asked: list[tuple[int, bool, int]],
) -> None:
    async def run() -> None:
        budget = Budget(100, wait_s=0.0)
        shares = []
        for size, large, settled in asked:
            try:
                share = await budget.share(size, large=large)
            except Overloaded:
                if shares:
                    shares.pop(0).release()
                continue
            assert budget.held <= 100
            held = sum(each.size for each in shares if each.large)
            assert not large or held + size <= LARGE_PART * 100 or held == 0
            share.settle(min(settled, size))
            shares.append(share)
        for share in shares:
            share.release()
        assert budget.held == 0

    asyncio.run(run())


async def test_who_leaves_the_head_of_the_line_lets_those_behind_it_in() -> None:
    budget = Budget(100)
    held = await budget.share(60, large=False)
    head = asyncio.create_task(budget.share(80, large=False))
    await asyncio.sleep(0)
    behind = asyncio.create_task(budget.share(20, large=False))
    await asyncio.sleep(0)
    assert budget.waiting == 2
    head.cancel()
    async with asyncio.timeout(1.0):
        with await behind:
            assert budget.held == 80
    held.release()
    assert budget.held == budget.waiting == 0

"""Real runners under requests that engines are lost to: only those are to blame, and quickly."""

from __future__ import annotations

import time

import pytest

from mesh.errors import EngineFailed, EngineLost, FormLost
from mesh.fleet.records import ModelState
from mesh.types import Sampling
from node.runner.messages import Opening
from tests.integration.test_form_trials import HIDDEN
from tests.runner_rig import ENDLESS, SLOW, read, read_on, running, some_pieces, start, until
from tests.toy_models import toy_model

pytestmark = pytest.mark.processes


@pytest.mark.engine
async def test_a_form_that_hangs_the_engine_costs_its_neighbour_a_moment() -> None:
    async with running(
        engine="llama_cpp", source=str(toy_model("chat")), context_length=256, memory_bytes=10**10
    ) as runner:
        endless = Sampling(max_tokens=10_000, grammar="root ::= [a-z] root")
        beside = start(runner, tokenizer_hash="", sampling=endless, credit=4)
        await some_pieces(beside, 3)
        begun = time.monotonic()
        poison = start(runner, tokenizer_hash="", sampling=Sampling(grammar=HIDDEN))
        with pytest.raises(FormLost, match="keeping one answer to its grammar"):
            await read(poison)
        with pytest.raises(EngineFailed, match="at work on another request") as lost:
            await read_on(beside)
        assert not isinstance(lost.value, EngineLost)
        assert time.monotonic() - begun < 10.0
        await until(lambda: runner.state is ModelState.RESIDENT)


async def test_who_was_alone_when_the_engine_broke_is_to_blame() -> None:
    async with running(options={"fail_at": 5}) as runner:
        sequence = start(runner)
        await some_pieces(sequence, 5)
        with pytest.raises(EngineLost):
            await read(sequence)


async def test_a_runner_that_takes_too_much_memory_is_ended_while_it_answers() -> None:
    async with running(options=SLOW, memory_bytes=1) as runner:
        with pytest.raises(EngineLost, match=r"GB of memory and may take 0\.00 GB"):
            await read_on(start(runner, sampling=ENDLESS))


@pytest.mark.engine
async def test_what_was_left_before_the_engine_was_lost_is_told_too() -> None:
    """Who asked may have moved on from a runner that stood still: the strike must not be lost."""
    told: list[tuple[Opening, EngineLost]] = []
    async with running(
        engine="llama_cpp",
        source=str(toy_model("chat")),
        context_length=256,
        on_loss=lambda opening, error: told.append((opening, error)),
    ) as runner:
        poison = start(runner, tokenizer_hash="", sampling=Sampling(grammar=HIDDEN))
        poison.cancel()
        await until(lambda: bool(told))
        ((opening, error),) = told
        assert opening.sampling.grammar == HIDDEN
        assert isinstance(error, FormLost)


@pytest.mark.engine
async def test_poison_does_not_have_a_model_given_up_that_answers_others() -> None:
    async with running(
        engine="llama_cpp", source=str(toy_model("chat")), context_length=256, crash_limit=1
    ) as runner:
        await read(start(runner, tokenizer_hash="", sampling=Sampling(max_tokens=3)))
        poison = start(runner, tokenizer_hash="", sampling=Sampling(grammar=HIDDEN))
        with pytest.raises(FormLost):
            await read(poison)
        await until(lambda: runner.state is ModelState.RESIDENT)
        _, done = await read(start(runner, tokenizer_hash="", sampling=Sampling(max_tokens=3)))
        assert done is not None

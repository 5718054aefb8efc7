"""A real runner process: streams under credit, each slot given back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mesh.errors import InvalidRequest, Overloaded
from mesh.types import FinishReason, Message, Piece, Role, Sampling
from node.runner.messages import Done, Opened, Pieces, Prefill, Rejected
from tests.gguf import write_chain
from tests.runner_rig import (
    ENDLESS,
    SLOW,
    TOKENIZER,
    read,
    read_on,
    running,
    some_pieces,
    start,
    text,
    until,
    words,
)

pytestmark = pytest.mark.processes


async def test_an_answer_streams_in_order_and_its_slot_is_free_after_it() -> None:
    async with running(options={"words": 10}) as runner:
        assert runner.facts is not None
        assert runner.facts.tokenizer_hash == "simulated"
        sequence = start(runner)
        assert runner.used_slots == 1
        events = [event async for event in sequence]
        assert isinstance(events[0], Opened)
        assert isinstance(events[1], Prefill)
        end = events[-1]
        assert isinstance(end, Done)
        assert end.reason is FinishReason.STOP
        assert (end.usage.prompt_tokens, end.usage.completion_tokens) == (6, 10)
        assert end.usage.prefill_ms >= 0
        pieces = [p for e in events if isinstance(e, Pieces) for p in e.pieces]
        assert text(pieces) == words(0, 10)
        assert [p.id for p in pieces] == list(range(10))
        assert runner.used_slots == 0


async def test_max_tokens_and_stop_strings_end_an_answer() -> None:
    async with running(options={"words": 100}) as runner:
        pieces, end = await read(start(runner, sampling=Sampling(max_tokens=7)))
        assert isinstance(end, Done)
        assert (end.reason, text(pieces)) == (FinishReason.LENGTH, words(0, 7))
        pieces, end = await read(start(runner, sampling=Sampling(stop=("k3 tok4",))))
        assert isinstance(end, Done)
        assert (end.reason, text(pieces)) == (FinishReason.STOP_STRING, words(0, 3) + "to")


@pytest.mark.parametrize("tokenizer", [TOKENIZER, "another"])
async def test_a_resume_goes_on_after_what_was_delivered_with_the_same_budget(
    tokenizer: str,
) -> None:
    async with running(options={"words": 100}) as runner:
        delivered = tuple(Piece(id=n, text=f"tok{n} ") for n in range(8))
        sampling = Sampling(max_tokens=12)
        sequence = start(runner, sampling=sampling, delivered=delivered, tokenizer_hash=tokenizer)
        events = [event async for event in sequence]
        first = next(e for e in events if isinstance(e, Pieces))
        assert first.first == 8
        pieces = [p for e in events if isinstance(e, Pieces) for p in e.pieces]
        assert text(pieces) == words(8, 4)
        end = events[-1]
        assert isinstance(end, Done)
        assert end.reason is FinishReason.LENGTH
        assert end.usage.completion_tokens == 12


async def test_a_resume_that_lacked_only_its_end_ends_at_once() -> None:
    async with running(options={"words": 100}) as runner:
        delivered = tuple(Piece(id=n, text=f"tok{n} ") for n in range(5))
        for sampling, reason in (
            (Sampling(max_tokens=5), FinishReason.LENGTH),
            (Sampling(stop=("tok4 ",)), FinishReason.STOP_STRING),
        ):
            pieces, end = await read(start(runner, sampling=sampling, delivered=delivered))
            assert pieces == []
            assert isinstance(end, Done)
            assert end.reason is reason
        assert runner.used_slots == 0


async def test_a_sequence_without_credit_waits_while_others_go_on() -> None:
    async with running(options={"words": 200}) as runner:
        slow = start(runner, credit=3)
        assert len(await some_pieces(slow, 3)) == 3
        pieces, _ = await read(start(runner))
        assert len(pieces) == 200, "the other one is not held up"
        assert not slow._events, "nothing more came without credit"
        slow.grant(2)
        assert text(await some_pieces(slow, 2)) == words(3, 2)
        rest, end = await read_on(slow)
        assert text(rest) == words(5, 195)
        assert isinstance(end, Done)


async def test_what_a_stop_string_held_back_leaves_under_credit_too() -> None:
    async with running(options={"words": 12}) as runner:
        # Everything may begin the stop string, so that all is held until the very end.
        sequence = start(runner, credit=4, sampling=Sampling(stop=(words(0, 12) + "never",)))
        assert len(await some_pieces(sequence, 4)) == 4
        assert not sequence._events
        pieces, end = await read_on(sequence)
        assert text(pieces) == words(4, 8)
        assert isinstance(end, Done)


async def test_a_cancelled_sequence_frees_its_slot_and_yields_nothing_more() -> None:
    async with running(slots=1, options=SLOW) as runner:
        async with start(runner, sampling=ENDLESS) as sequence:
            await some_pieces(sequence, 2)
            with pytest.raises(Overloaded, match="1 slots"):
                start(runner)
        sequence.cancel()  # idempotent
        assert [event async for event in sequence] == []
        cancelled = time.monotonic()
        await until(lambda: runner.used_slots == 0)
        assert time.monotonic() - cancelled < 1.0
        assert len(await some_pieces(start(runner), 2)) >= 2


async def test_a_cancel_in_prefill_frees_the_slot_before_the_prefill_is_over() -> None:
    options = {"prefill_ms_per_token": 1, "batch": 16}
    async with running(slots=1, context_length=100_000, options=options) as runner:
        long = (Message.of(Role.USER, "word " * 20_000),)  # 20 s of prefill
        sequence = start(runner, messages=long)
        async for event in sequence:
            if isinstance(event, Prefill):
                break
        sequence.cancel()
        cancelled = time.monotonic()
        await until(lambda: runner.used_slots == 0)
        assert time.monotonic() - cancelled < 2.0


async def test_what_cannot_be_served_is_rejected_and_frees_its_slot() -> None:
    async with running(slots=1, context_length=32) as runner:
        long = (Message.of(Role.USER, "word " * 100),)
        for changes, code in (
            ({"messages": long}, "context_overflow"),
            ({"sampling": Sampling(max_tokens=-1)}, "invalid_request"),
        ):
            pieces, end = await read(start(runner, **changes))
            assert pieces == []
            assert isinstance(end, Rejected)
            assert end.code == code
            assert runner.used_slots == 0
        with pytest.raises(InvalidRequest, match="Unicode"):
            start(runner, messages=(Message.of(Role.USER, "\ud800"),))
        with pytest.raises(InvalidRequest, match="bytes"):
            start(runner, messages=(Message.of(Role.USER, "x" * 17_000_000),))
        _, end = await read(start(runner))
        assert isinstance(end, Done)


@pytest.mark.engine
async def test_a_real_model_streams_whole_characters_and_stops_where_told(tmp_path: Path) -> None:
    path = write_chain(tmp_path / "chain.gguf", "abc é€!")
    async with running(engine="llama_cpp", source=str(path), context_length=128) as runner:
        assert runner.load_percent == 100
        assert runner.facts is not None
        assert runner.facts.architecture == "llama"
        pieces, end = await read(start(runner))
        assert text(pieces) == "abc é€!"
        assert len(pieces) == 10, "a piece a token, though three of them make one character"
        assert isinstance(end, Done)
        assert end.reason is FinishReason.STOP
        # Cut inside the euro sign: by ids, the resume still brings the whole character.
        rest, _ = await read(start(runner, delivered=tuple(pieces[:8])))
        assert text(pieces[:8]) + text(rest) == "abc é€!"
        pieces, end = await read(start(runner, sampling=Sampling(stop=("é",))))
        assert text(pieces) == "abc "
        assert isinstance(end, Done)
        assert end.reason is FinishReason.STOP_STRING
        assert end.usage.cached_tokens > 0

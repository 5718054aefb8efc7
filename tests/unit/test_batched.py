"""Slots that are computed together: which caches, which batches, what is said.

The model needs no library: the token after n is n + 1, and 99 ends a turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.errors import InternalError, InvalidRequest
from mesh.types import FinishReason, Message, Role, Sampling
from node.engines.base import Emission, Ended, Prefilling, Token
from node.engines.batched import BatchedEngine, Running
from node.engines.chat_template import TokenizedPrompt
from node.engines.scheduler import Reuse, Share

NOBODY: frozenset[int] = frozenset()
END = 99


class Words:
    """A prompt is numbers; they are its tokens."""

    def check(self, tokens: Sequence[int]) -> None:
        if any(token > END for token in tokens):
            raise InvalidRequest("no such token")

    def piece(self, token: int) -> bytes:
        return f"{token} ".encode()

    def ends_turn(self, token: int) -> bool:
        return token == END


@dataclass
class Prompts:
    context_length: int

    def begin(
        self, messages: Sequence[Message], delivered: Sequence[int], text: str
    ) -> TokenizedPrompt:
        prompt = [int(word) for word in messages[0].text.split()]
        answer = list(delivered) or [int(word) for word in text.split()]
        return TokenizedPrompt(prompt, answer, (prompt + answer)[: self.context_length])


@dataclass
class Model:
    """``caches``: what a real one would hold; ``batches``: every one, by slot."""

    context_length: int = 64
    batch_size: int = 8
    vocabulary: Words = field(default_factory=Words)
    caches: dict[int, list[int]] = field(default_factory=lambda: {0: [], 1: [], 2: []})
    batches: list[dict[int, int]] = field(default_factory=list)

    @property
    def prompts(self) -> Any:
        return Prompts(self.context_length)


class Counting(BatchedEngine[Model, SimpleNamespace]):
    def _sampler(self, live: Model, sampling: Sampling, begun: TokenizedPrompt) -> SimpleNamespace:
        return SimpleNamespace(forgotten=False, seed=self._fresh_seed())

    def _take(self, live: Model, reuse: Reuse) -> int:
        live.caches[reuse.cache] = live.caches[reuse.source][: reuse.common]
        return reuse.common

    def _evaluate(self, live: Model, shares: Sequence[Share]) -> None:
        live.batches.append({share.slot: share.count for share in shares})
        for share in shares:
            running = self._open[share.slot]
            first = running.evaluated
            assert live.caches[running.cache] == running.tokens[:first], "its own, and whole"
            live.caches[running.cache] += running.tokens[first : first + share.count]

    def _sample(self, live: Model, running: Running[SimpleNamespace]) -> Sequence[Emission]:
        return self._say(live, running, live.caches[running.cache][-1] + 1)

    def _forget(self, running: Running[SimpleNamespace]) -> None:
        running.sampler.forgotten = True

    def load(self, model: Model) -> Model:
        self._begin(model, 3)
        return model


def engine(**changes: Any) -> tuple[Counting, Model]:
    made = Counting(fresh_seed=lambda: 7, seconds=lambda: 0.0)
    return made, made.load(Model(**changes))


def open_(
    made: Counting, slot: int, prompt: str, delivered: Sequence[int] = (), text: str = ""
) -> int:
    messages = [Message.of(Role.USER, prompt)]
    return made.open(slot, messages, Sampling(), delivered, text)


def numbers(first: int, last: int) -> str:
    return " ".join(map(str, range(first, last + 1)))


def test_a_prompt_is_computed_in_chunks_and_goes_on_a_token_a_step() -> None:
    made, model = engine(batch_size=4)
    assert open_(made, 0, numbers(10, 15)) == 6
    assert made.step(NOBODY) == [Prefilling(0, 4, 6)]
    assert made.step(NOBODY) == [Prefilling(0, 6, 6), Token(0, 16, b"16 ")]
    assert made.step(NOBODY) == [Token(0, 17, b"17 ")]
    assert made.step(NOBODY) == [Token(0, 18, b"18 ")]
    assert model.batches == [{0: 4}, {0: 2}, {0: 1}, {0: 1}]


def test_the_pace_is_learned_from_prompts_and_from_running_slots_apart() -> None:
    seconds = count()
    made = Counting(seconds=lambda: float(next(seconds)))
    made.load(Model(batch_size=4))
    open_(made, 0, numbers(10, 13))
    made.step(NOBODY)
    assert (made._pace.prefill_s, made._pace.decode_s) == (0.25, 0.0)
    made.step(NOBODY)
    assert (made._pace.prefill_s, made._pace.decode_s) == (0.25, 1.0)


def test_an_answer_ends_with_its_turn_or_its_context_and_then_has_no_work() -> None:
    made, _ = engine(context_length=4)
    open_(made, 0, "96 97")
    assert made.step(NOBODY)[-1] == Token(0, 98, b"98 ")
    assert made.step(NOBODY) == [Ended(0, FinishReason.STOP)]
    open_(made, 1, "10 11")
    assert made.step(NOBODY)[-1] == Token(1, 12, b"12 ")
    assert made.step(NOBODY) == [Token(1, 13, b"13 "), Ended(1, FinishReason.CONTEXT)]
    assert made.step(NOBODY) == []


def test_a_resume_into_a_full_context_ends_at_once_and_others_go_on() -> None:
    made, _ = engine(context_length=4)
    assert open_(made, 0, "10 11", delivered=[12, 13]) == 2
    open_(made, 1, "20")
    found = made.step(NOBODY)
    assert found == [Ended(0, FinishReason.CONTEXT), Prefilling(1, 1, 1), Token(1, 21, b"21 ")]
    assert made.step(NOBODY) == [Token(1, 22, b"22 ")], "it has ended once"


def test_held_slots_are_in_no_batch() -> None:
    made, model = engine()
    open_(made, 0, "10")
    open_(made, 1, "20")
    made.step(frozenset({0}))
    assert made.step(frozenset({0, 1})) == []
    assert model.batches == [{1: 1}]


def test_a_prompt_that_begins_alike_starts_where_a_closed_one_left_its_cache() -> None:
    made, _ = engine(batch_size=64)
    open_(made, 0, numbers(10, 39))
    made.step(NOBODY)
    made.step(NOBODY)
    made.close(0)
    made.close(0)
    open_(made, 1, numbers(10, 41) + " 50")
    found = made.step(NOBODY)
    assert found[0] == Prefilling(1, 33, 33, 31), "40 was drawn and computed, 41 was drawn"


def test_the_cache_that_was_left_longest_ago_is_taken_first() -> None:
    made, _ = engine()
    for slot in (0, 1, 2):
        open_(made, slot, f"{slot + 1}0")
    caches = {slot: running.cache for slot, running in made._open.items()}
    made.step(NOBODY)
    for slot in (2, 0, 1):
        made.close(slot)
    open_(made, 0, "40")
    assert made._open[0].cache == caches[2]


def test_a_busy_cache_is_copied_where_that_spares_enough() -> None:
    made, model = engine(batch_size=64)
    open_(made, 0, numbers(10, 39))
    made.step(NOBODY)
    open_(made, 1, numbers(10, 39) + " 50")
    open_(made, 2, numbers(10, 20) + " 50")
    found = [e for e in made.step(NOBODY) if isinstance(e, Prefilling)]
    assert found == [Prefilling(1, 31, 31, 30), Prefilling(2, 12, 12, 0)]
    assert len({running.cache for running in made._open.values()}) == 3
    assert model.batches[-1] == {0: 1, 1: 1, 2: 12}


def test_only_what_is_computed_of_a_busy_cache_is_copied() -> None:
    made, _ = engine(batch_size=20)
    open_(made, 0, numbers(10, 39))
    made.step(NOBODY)
    open_(made, 1, numbers(10, 39))
    assert made._open[1].cached == 20
    made.step(NOBODY)


def test_a_slot_that_is_closed_forgets_its_sampler_and_is_free_again() -> None:
    made, _ = engine()
    open_(made, 0, "10")
    sampler = made._open[0].sampler
    with pytest.raises(InternalError, match="slot 0 is not free"):
        open_(made, 0, "10")
    made.close(0)
    assert sampler.forgotten
    assert sampler.seed == 7
    open_(made, 0, "10")


def test_what_is_spelled_is_what_was_said_and_foreign_tokens_are_refused() -> None:
    made, _ = engine()
    assert made.spell([10, 11]) == b"10 11 "
    with pytest.raises(InvalidRequest):
        made.spell([100])


def test_unloaded_it_has_no_slots_left() -> None:
    made, model = engine()
    open_(made, 0, "10")
    sampler = made._open[0].sampler
    assert made._end_all() is model
    assert sampler.forgotten
    with pytest.raises(InternalError, match="no model is loaded"):
        open_(made, 0, "10")

"""Invariants 1 to 3 under any interleaving of tokens, stalls, refusals, losses, hedges, cancels.

1. What a client has is a gap-free, duplicate-free prefix of the one answer.
2. What a node may send is never more than the window, and a request holds one slot, or two while it
   moves or is hedged.
   It is never more than it asked for, whatever its nodes send.
3. Whoever is over has left nothing: no slot, no stream, no place in the queue.
"""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mesh.embedding import Embeddings
from mesh.errors import MeshError
from mesh.types import FinishReason, Sampling
from orchestrator.attempts.hedge import HedgePolicy
from tests.attempt_rig import FakeNode, FakeStream, Reading, rig, word

MOST_REQUESTS = 4
MOST_TOKENS = 100_000
PICK = st.integers(0, 11)
VECTOR = struct.pack("<2f", 1.0, 0.0)


class Attempts(RuleBasedStateMachine):
    """Four nodes, a few requests at a time, and everything that can happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.nodes = [FakeNode("a"), FakeNode("b", slots=2), FakeNode("c"), FakeNode("d", slots=0)]
        self.readers: list[Reading] = []
        self.most: dict[int, int] = {}
        self.embeds: list[asyncio.Task[Embeddings | MeshError]] = []

    @initialize(hedged=st.booleans(), most=st.integers(1, 4))
    def begin(self, hedged: bool, most: int) -> None:
        policy = HedgePolicy(after_s=0.5, share=1.0) if hedged else None
        self.stop = asyncio.Event()
        started = asyncio.Event()

        async def life() -> None:
            given = {"hedging": policy, "max_attempts": most, "queue_limit": 2}
            async with rig(*self.nodes, **given) as here:
                self.here = here
                started.set()
                await self.stop.wait()

        self.life = self.loop.create_task(life())
        self.run(started.wait())

    def run(self, work: Coroutine[Any, Any, Any]) -> None:
        self.loop.run_until_complete(work)
        if hasattr(self, "here"):
            self.loop.run_until_complete(self.here.settle())

    @property
    def open(self) -> list[FakeStream]:
        return [s for node in self.nodes for s in node.streams if not s.over]

    @property
    def reading(self) -> list[Reading]:
        return [each for each in self.readers if not each.over]

    @property
    def running(self) -> int:
        return len(self.reading) + sum(not each.done() for each in self.embeds)

    def stream(self, pick: int) -> FakeStream:
        """Of those that are open; the newest of their nodes' oftenest."""
        return self.open[-1 - pick // 2 % len(self.open)]

    def silence(self, stream: FakeStream, seconds: float) -> None:
        self.here.fleet.suspects[stream.node.id] = self.here.clock.now()
        self.run(self.here.advance(seconds))

    # What clients do.

    @precondition(lambda self: self.running < MOST_REQUESTS)
    @rule(
        resumable=st.booleans(),
        timeout_s=st.sampled_from([3.0, 1000.0]),
        most=st.sampled_from([5, MOST_TOKENS]),
    )
    def ask(self, resumable: bool, timeout_s: float, most: int) -> None:
        sampling = Sampling(max_tokens=most)
        asked = self.here.ask(resumable=resumable, timeout_s=timeout_s, sampling=sampling)
        self.readers.append(asked)
        self.most[id(asked)] = most
        self.run(self.here.settle())

    @precondition(lambda self: self.running < MOST_REQUESTS)
    @rule(count=st.integers(1, 3))
    def embed(self, count: int) -> None:
        self.embeds.append(self.here.embed(*"x" * count))
        self.run(self.here.settle())

    @precondition(lambda self: self.reading)
    @rule(pick=PICK)
    def stay_away_or_come_back(self, pick: int) -> None:
        reads = self.reading[pick % len(self.reading)].reads
        reads.clear() if reads.is_set() else reads.set()
        self.run(self.here.settle())

    @precondition(lambda self: self.reading)
    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        self.run(self.reading[pick % len(self.reading)].cancel())

    @precondition(lambda self: self.embeds)
    @rule(pick=PICK)
    def cancel_embed(self, pick: int) -> None:
        self.embeds[pick % len(self.embeds)].cancel()
        self.run(self.here.settle())

    # What nodes do.

    @precondition(lambda self: self.open)
    @rule(pick=PICK, sign=st.sampled_from(["accept", "queued", "loading", "prefilling"]))
    def sign(self, pick: int, sign: str) -> None:
        stream = self.stream(pick)
        stream.accept() if sign == "accept" else stream.prefill(pick, sign)
        self.run(self.here.settle())

    @precondition(lambda self: self.open)
    @rule(pick=PICK, count=st.integers(1, 200), times=st.integers(1, 4))
    def send(self, pick: int, count: int, times: int) -> None:
        stream = self.stream(pick)
        for _ in range(times):
            if stream.attempt.texts:
                if stream.next < len(stream.attempt.texts):
                    stream.vectors(VECTOR, 2)
            elif stream.credit > 0:
                stream.tokens(min(count, stream.credit))
        self.run(self.here.settle())

    @precondition(lambda self: self.open)
    @rule(pick=PICK, by=st.integers(-3, 3))
    def send_what_is_not_next(self, pick: int, by: int) -> None:
        stream = self.stream(pick)
        first = max(0, stream.next + by)
        if stream.attempt.texts:
            stream.vectors(VECTOR, 2, first=first)
        elif stream.credit > 0:
            stream.tokens(1, first=first)
        self.run(self.here.settle())

    @precondition(lambda self: self.open)
    @rule(pick=PICK, how=st.sampled_from(["finish", "lose", "stop"]))
    def end(self, pick: int, how: str) -> None:
        getattr(self.stream(pick), how)()
        self.run(self.here.settle())

    @precondition(lambda self: self.open)
    @rule(pick=PICK, reason=st.sampled_from(FinishReason), made=st.sampled_from([0, 7, 2**62]))
    def claim_an_end(self, pick: int, reason: FinishReason, made: int) -> None:
        self.stream(pick).finish(reason, made)
        self.run(self.here.settle())

    @precondition(lambda self: self.open)
    @rule(
        pick=PICK,
        how=st.sampled_from(["refuse", "fail"]),
        code=st.sampled_from(
            [
                "overloaded",
                "draining",
                "cannot_answer",
                "context_overflow",
                "engine_failed",
                "unknown_model",
                "invalid_request",
                "deadline_exceeded",
            ]
        ),
    )
    def end_in(self, pick: int, how: str, code: str) -> None:
        stream = self.stream(pick)
        if code in ("overloaded", "draining"):  # or the fake would be asked again for ever
            stream.node.slots = 0
        getattr(stream, how)(code)
        self.run(self.here.settle())

    @rule(pick=PICK, slots=st.integers(0, 2))
    def take_or_give_slots(self, pick: int, slots: int) -> None:
        self.nodes[pick % len(self.nodes)].slots = slots
        self.here.fleet.change()
        self.run(self.here.settle())

    @rule(pick=PICK)
    def come_back(self, pick: int) -> None:
        node = self.nodes[pick % len(self.nodes)]
        self.here.fleet.suspects.pop(node.id, None)
        self.here.back(node)
        self.run(self.here.settle())

    @precondition(lambda self: self.open)
    @rule(pick=PICK, within_s=st.sampled_from([0.0, 0.3]))
    def fall_silent(self, pick: int, within_s: float) -> None:
        self.silence(self.stream(pick), within_s)

    @precondition(lambda self: self.reading and self.open)
    @rule(pick=PICK)
    def fall_silent_while_the_client_is_away(self, pick: int) -> None:
        for reader in self.reading:
            reader.reads.clear()
        stream = self.stream(pick)
        if not stream.attempt.texts and stream.credit > 0:
            stream.tokens(1)
        self.silence(stream, 0.3)

    @rule(pick=st.integers(0, 20))
    def hang_up(self, pick: int) -> None:
        if pick < len(self.nodes):
            self.nodes[pick].down = True

    @rule(seconds=st.sampled_from([0.01, 0.5, 0.6, 2.5, 12.0]))
    def wait(self, seconds: float) -> None:
        self.run(self.here.advance(seconds))

    # What holds.

    @invariant()
    def what_was_delivered_is_a_prefix(self) -> None:
        for reader in self.readers:
            pieces = reader.pieces
            assert pieces == [word(index) for index in range(len(pieces))]
            assert len(pieces) <= self.most[id(reader)]

    @invariant()
    def credit_is_within_the_window(self) -> None:
        for stream in self.open:
            assert stream.credit <= stream.attempt.credit

    @invariant()
    def every_open_stream_has_its_slot_and_no_request_has_more_than_two(self) -> None:
        if not hasattr(self, "here"):
            return
        streams = Counter(stream.node.name for stream in self.open)
        for node in self.nodes:
            assert streams[node.name] <= node.held
        assert sum(self.here.held.values()) <= 2 * self.running
        waiting = sum(self.here.admission.depth.values())
        assert waiting <= self.running

    @invariant()
    def whoever_is_over_left_nothing(self) -> None:
        if hasattr(self, "here") and not self.running:
            assert not self.here.held
            assert not self.open
            assert not any(self.here.admission.depth.values())

    @invariant()
    def requests_end_in_errors_of_the_mesh_only(self) -> None:
        for task in [*(reader.task for reader in self.readers), *self.embeds]:
            if task is not None and task.done() and not task.cancelled():
                assert task.exception() is None
        for embedded in self.embeds:
            if embedded.done() and not embedded.cancelled():
                found = embedded.result()
                if isinstance(found, Embeddings):
                    assert found.data == VECTOR * len(found)
        if hasattr(self, "here"):
            assert not any(task.done() for task in self.here.tasks[:2]), "queue and watch go on"

    def teardown(self) -> None:
        if hasattr(self, "here"):
            for reader in self.readers:
                self.loop.run_until_complete(reader.cancel())
            for embedded in self.embeds:
                embedded.cancel()
            self.run(self.here.settle())
            self.whoever_is_over_left_nothing()
            self.stop.set()
            self.loop.run_until_complete(self.life)
        self.loop.close()


Attempts.TestCase.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None, derandomize=True
)
TestAttempts = Attempts.TestCase

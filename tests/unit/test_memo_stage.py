"""Stage ``memo``: what it answers, what it records, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.stream import Assigned, Decided, Done, Progress, StreamEvent, Tokens
from mesh.types import (
    Decision,
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    RequestId,
    Role,
    Sampling,
    Specialty,
)
from orchestrator.memo.base import Memo, MemoCounts, Remembered
from orchestrator.memo.in_process import InProcessMemo
from orchestrator.memo.settings import MemoSettings
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.cascade import Cascade
from orchestrator.router.memo import MemoStage, may_be_remembered
from tests.stage_rig import placed

MATH = Specialty("math")
PIECES = tuple(Piece(id=number, text=text) for number, text in enumerate(("It", " is", " 4.")))
DONE = Done(
    reason=FinishReason.STOP,
    node=NodeId("n1"),
    node_name="attic",
    model=ModelId("toy-math"),
    prompt_tokens=9,
    completion_tokens=3,
    cached_tokens=0,
    ttft_ms=50.0,
    tokens_per_second=10.0,
    resumed=False,
    attempts=1,
    trace_id="",
    queue_ms=0.0,
)
DECIDED = Decided(
    request_id=RequestId("0" * 32),
    decision=Decision(specialty=MATH, stage="rules", rule="sum", confidence=0.9),
)
ASSIGNED = Assigned(
    node=NodeId("n1"),
    node_name="attic",
    model=ModelId("toy-math"),
    attempt=1,
    tokenizer_hash="abc",
)
STREAM: tuple[StreamEvent, ...] = (
    DECIDED,
    ASSIGNED,
    Progress(phase="prefill", done=1, total=9),
    Tokens(first=0, pieces=PIECES[:1]),
    Tokens(first=1, pieces=PIECES[1:]),
    DONE,
)


def asked(text: str = "What is 2 + 2?", **fields: Any) -> Features:
    return replace(Features.of((Message.of(Role.USER, text),)), **fields)


# Here, since a day's answers are that day's.
MORNING = datetime(2023, 11, 15, 1, 0).timestamp()


class Rig:
    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock(MORNING - ManualClock(0.0).wall())
        self.memo = InProcessMemo(MemoSettings(**settings), self.clock)
        self.stage = MemoStage(self.memo, "rules-1", self.clock)

    async def record(self, events: Iterable[StreamEvent], features: Features | None = None) -> bool:
        recording = self.stage.recording(features or asked())
        if recording is None:
            return False
        for event in events:
            recording.take(event)
        return await recording.keep()

    async def hit(self, features: Features | None = None) -> Verdict:
        said = await self.stage.consult(features or asked())
        assert isinstance(said, Verdict), said
        return said

    async def note(self, features: Features) -> str:
        said = await self.stage.consult(features)
        assert isinstance(said, Abstain), said
        return said.note


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_an_answer_given_once_is_given_again(rig: Rig) -> None:
    assert await rig.note(asked()) == "not asked before"
    assert await rig.record(STREAM)
    await rig.clock.advance(12.0)
    said = await rig.hit()
    assert (said.specialty, said.confidence) == (MATH, 1.0)
    assert said.note == "seen 12 s ago, answered by attic"
    answer = said.answer
    assert answer is not None
    assert answer.source == "memo"
    assert answer.pieces == PIECES
    assert (answer.reason, answer.model, answer.node) == (DONE.reason, DONE.model, DONE.node)
    assert (answer.node_name, answer.tokenizer_hash) == ("attic", "abc")
    assert answer.prompt_tokens == 9


async def test_the_cascade_carries_the_answer_and_says_who_decided(rig: Rig) -> None:
    await rig.record(STREAM)
    outcome = await Cascade(placed(rig.stage), Specialty("chat"), "rules-1").decide(asked())
    assert outcome.decision.stage == "memo"
    assert outcome.decision.specialty == MATH
    assert outcome.answer is not None


async def test_a_hit_does_not_suspend(rig: Rig) -> None:
    """What this process holds must not wait for the event loop's other work."""
    await rig.record(STREAM)
    step = rig.stage.consult(asked())
    with pytest.raises(StopIteration):
        step.send(None)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (FinishReason.STOP, True),
        (FinishReason.STOP_STRING, True),
        (FinishReason.LENGTH, True),
        (FinishReason.CONTEXT, False),
    ],
)
async def test_only_ends_that_would_come_again_are_kept(
    rig: Rig, reason: FinishReason, kept: bool
) -> None:
    assert await rig.record((*STREAM[:-1], replace(DONE, reason=reason))) is kept


@pytest.mark.parametrize(
    ("features", "kept"),
    [
        (asked(), True),
        (asked(sampling=Sampling(temperature=0.7, seed=5)), True),
        (asked(sampling=Sampling(temperature=0.7)), False),
        (asked(sampling=Sampling(temperature=0.7), cacheable=True), True),
        (asked(cacheable=False), False),
        (asked(sampling=Sampling(temperature=0.7, seed=5), cacheable=False), False),
    ],
)
async def test_only_deterministic_or_cacheable_answers_are_kept_and_looked_up(
    rig: Rig, features: Features, kept: bool
) -> None:
    assert may_be_remembered(features) is kept
    assert await rig.record(STREAM, features) is kept
    said = await rig.stage.consult(features)
    assert isinstance(said, Verdict) is kept
    if not kept:
        assert rig.memo.counts == MemoCounts()  # not even looked up


async def test_one_that_must_not_be_cached_is_not_given_what_another_left(rig: Rig) -> None:
    await rig.record(STREAM)
    assert "not to be remembered" in await rig.note(asked(cacheable=False))


async def test_tenants_never_share(rig: Rig) -> None:
    await rig.record(STREAM, asked(tenant="ann"))
    assert await rig.note(asked(tenant="bob")) == "not asked before"
    assert await rig.note(asked()) == "not asked before"
    await rig.hit(asked(tenant="ann"))


async def test_other_rules_do_not_replay_former_answers(rig: Rig) -> None:
    await rig.record(STREAM)
    changed = MemoStage(rig.memo, "rules-2", rig.clock)
    assert isinstance(await changed.consult(asked()), Abstain)


@pytest.mark.parametrize("text", ["", " \n\t"])
async def test_an_empty_prompt_is_nothing_to_look_up(rig: Rig, text: str) -> None:
    assert await rig.note(asked(text)) == "no prompt"
    assert rig.stage.recording(asked(text)) is None
    assert isinstance(await rig.stage.consult(Features.of(())), Abstain)


async def test_an_endless_conversation_is_not_remembered(rig: Rig) -> None:
    assert "too long" in await rig.note(asked("a" * 1_000_000))
    assert rig.stage.recording(asked("a" * 1_000_000)) is None


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("no Done: cut off", STREAM[:-1]),
        ("nothing at all", ()),
        ("only Done", (DONE,)),
        ("no decision", STREAM[1:]),
        ("nobody assigned", (DECIDED, *STREAM[3:])),
        ("no pieces", (DECIDED, ASSIGNED, DONE)),
        ("a gap", (DECIDED, ASSIGNED, STREAM[3], Tokens(first=2, pieces=PIECES[2:]), DONE)),
        ("a piece twice", (DECIDED, ASSIGNED, STREAM[3], *STREAM[3:])),
        ("begun elsewhere", (DECIDED, ASSIGNED, Tokens(first=5, pieces=PIECES), DONE)),
        ("tokens after the end", (*STREAM, Tokens(first=3, pieces=PIECES))),
        ("a memo's hit", (*STREAM[:-1], replace(DONE, source="memo"))),
        ("an exact answer", (*STREAM[:-1], replace(DONE, source="exact"))),
        (
            "two models' work",
            (*STREAM[:4], replace(ASSIGNED, model=ModelId("other"), attempt=2), *STREAM[4:]),
        ),
        (
            "two tokenizers' work",
            (*STREAM[:4], replace(ASSIGNED, tokenizer_hash="other", attempt=2), *STREAM[4:]),
        ),
    ],
)
async def test_a_stream_that_is_not_one_whole_answer_is_not_kept(
    rig: Rig, name: str, events: tuple[StreamEvent, ...]
) -> None:
    assert not await rig.record(events), name
    assert rig.memo.counts == MemoCounts()


async def test_a_retry_before_the_first_token_is_kept_as_who_answered(rig: Rig) -> None:
    other = replace(ASSIGNED, model=ModelId("first-choice"), node_name="cellar")
    assert await rig.record((DECIDED, other, *STREAM[1:]))
    assert (await rig.hit()).answer == (await rig.hit()).answer
    answer = (await rig.hit()).answer
    assert answer is not None
    assert answer.model == ASSIGNED.model


async def test_a_resume_on_the_same_model_elsewhere_is_kept(rig: Rig) -> None:
    again = replace(ASSIGNED, node=NodeId("n2"), node_name="cellar", attempt=2)
    done = replace(DONE, node=NodeId("n2"), node_name="cellar", resumed=True, attempts=2)
    assert await rig.record((*STREAM[:4], again, STREAM[4], done))
    assert (await rig.hit()).note == "seen 0 s ago, answered by cellar"


async def test_a_recording_gives_up_once_it_is_too_large_to_be_kept() -> None:
    rig = Rig(max_answer_bytes=1_000)
    recording = rig.stage.recording(asked())
    assert recording is not None
    recording.take(DECIDED)
    recording.take(ASSIGNED)
    for number in range(100):
        recording.take(Tokens(first=number, pieces=(Piece(id=number, text="x" * 20),)))
        assert recording.given_up is ((number + 1) * 22 > 1_000)
    recording.take(DONE)
    assert not await recording.keep()


async def test_a_recording_is_kept_once(rig: Rig) -> None:
    recording = rig.stage.recording(asked())
    assert recording is not None
    for event in STREAM:
        recording.take(event)
    assert await recording.keep()
    assert not await recording.keep()
    assert rig.memo.counts.kept == 1


async def test_a_dry_run_may_find_an_answer_and_records_none(rig: Rig) -> None:
    await rig.record(STREAM)
    await rig.hit(asked(dry_run=True))
    assert rig.stage.recording(asked(dry_run=True)) is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (119.0, "119 s"), (600.0, "10 min"), (3 * 3600.0, "3 h")],
)
async def test_ages_read_well(seconds: float, words: str) -> None:
    rig = Rig(ttl_s=1e6)
    await rig.record(STREAM)
    await rig.clock.advance(seconds)
    assert (await rig.hit()).note.startswith(f"seen {words} ago")


class _Troubled:
    """A memo whose shared part is away."""

    max_answer_bytes = 1_000
    timeout_s = 1.0
    trouble = "Redis is away"
    counts = MemoCounts()

    async def look(self, key: bytes) -> Remembered | None:
        return None

    async def keep(self, key: bytes, remembered: Remembered) -> bool:
        return False

    async def run(self) -> None:
        return None


async def test_a_miss_says_when_the_shared_memo_is_away() -> None:
    memo: Memo = _Troubled()
    said = await MemoStage(memo, "", ManualClock()).consult(asked())
    assert said == Abstain("not asked before; Redis is away")


async def test_another_day_another_answer() -> None:
    rig = Rig(ttl_s=1e6)
    await rig.record(STREAM)
    await rig.clock.advance(20 * 3600.0)
    await rig.hit()
    await rig.clock.advance(4 * 3600.0)
    assert await rig.note(asked()) == "not asked before"

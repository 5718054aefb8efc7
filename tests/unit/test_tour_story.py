"""The third act, from events alone: where it went on, and whether a word is missing or twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from mesh.cli.tour.stage import KILL_AFTER, play, two_homes
from mesh.cli.tour.story import Seam, Story
from mesh.cli.tour.words import Unseen
from mesh.clock import ManualClock
from mesh.errors import ConfigError, InvalidRequest, NoCandidate
from mesh.fleet.records import NodeRecord, NodeState
from mesh.stream import (
    Assigned,
    Decided,
    Done,
    FleetStatus,
    NodeStatus,
    Ready,
    Resume,
    Route,
    StreamEvent,
    Tokens,
    Waiting,
)
from mesh.types import (
    Candidate,
    Decision,
    FinishReason,
    ModelId,
    NodeId,
    Piece,
    RequestId,
    Specialty,
)

MODEL = ModelId("m")
DECISION = Decision(specialty=Specialty("math"), stage="rules", rule=None, confidence=1.0)


def assigned(name: str, attempt: int = 1) -> Assigned:
    return Assigned(node=NodeId(f"node-{name}"), node_name=name, model=MODEL, attempt=attempt)


def words(first: int, *texts: str) -> Tokens:
    return Tokens(first=first, pieces=tuple(Piece(index, text) for index, text in enumerate(texts)))


def done(tokens: int, *resumes: Resume) -> Done:
    return Done(
        reason=FinishReason.STOP,
        node=NodeId("node-b"),
        node_name="b",
        model=MODEL,
        prompt_tokens=3,
        completion_tokens=tokens,
        cached_tokens=0,
        ttft_ms=1.0,
        tokens_per_second=100.0,
        resumed=bool(resumes),
        attempts=1 + len(resumes),
        trace_id="0" * 32,
        queue_ms=0.0,
        resumes=resumes,
    )


def moved(at: int) -> Resume:
    return Resume(
        from_node="a",
        to_node="b",
        at_token=at,
        gap_ms=48.0,
        reason="node_lost",
        same_weights=True,
        by_ids=True,
    )


def told(*events: StreamEvent) -> Story:
    story = Story()
    for tenth, event in enumerate(events):
        story.take(event, tenth / 10)
    return story


def test_where_it_went_on_and_how_long_that_took() -> None:
    story = told(
        assigned("a"),
        words(0, " Light", " is", " scat"),
        assigned("b", 2),
        words(3, "tered", "."),
        done(5, moved(3)),
    )

    (seam,) = story.seams
    assert (seam.from_node, seam.to_node, seam.at_token) == ("a", "b", 3)
    assert seam.gap_s == pytest.approx(0.2)
    assert seam.in_word
    assert story.text == " Light is scattered."
    assert story.faults == []
    assert "none missing and none twice" in story.verdict
    assert "from the very tokens" in story.verdict


def test_a_space_stands_between_two_words() -> None:
    story = told(assigned("a"), words(0, " Light"), assigned("b", 2), words(1, " is"))

    assert not story.seams[0].in_word


@pytest.mark.parametrize(
    ("before", "after", "within"),
    [
        (" a", "b.", True),
        ("-a", "b", True),
        ("a.", "b", False),
        ("a", " b", False),
        ("a", "", False),
    ],
)
def test_two_halves_of_a_word_are_told_by_where_they_meet(
    before: str, after: str, within: bool
) -> None:
    story = told(assigned("a"), words(0, before), assigned("b", 2), words(1, after, "b"))

    assert story.seams[0].in_word is (within or not after)


@pytest.mark.parametrize(
    ("made", "faults"),
    [(1, ["1 were made and 2 came"]), (2, []), (3, []), (4, ["4 were made and 2 came"])],
)
def test_one_token_may_be_made_that_has_no_piece(made: int, faults: list[str]) -> None:
    assert told(assigned("a"), words(0, "a", "b"), done(made)).faults == faults


@pytest.mark.parametrize(
    ("after", "fault"),
    [
        (words(4, " x"), "1 missing before token 4"),
        (words(2, " x"), "token 2 came twice"),
    ],
)
def test_a_token_that_is_missing_or_twice_is_a_fault(after: Tokens, fault: str) -> None:
    story = told(assigned("a"), words(0, "a", "b", "c"), assigned("b", 2), after)

    assert story.faults == [fault]
    assert fault in story.verdict


def test_tokens_that_never_came_are_a_fault() -> None:
    story = told(
        assigned("a"),
        words(0, "a"),
        assigned("b", 2),
        words(1, "b"),
        done(9, moved(1)),
    )

    assert story.faults == ["9 were made and 2 came"]


def test_a_seam_that_the_mesh_does_not_tell_of_is_a_fault() -> None:
    story = told(assigned("a"), words(0, "a"), assigned("b", 2), words(1, "b"), done(2))

    assert story.faults == ["it went on elsewhere than the mesh tells"]


def test_another_attempt_before_the_first_token_is_no_seam() -> None:
    story = told(assigned("a"), assigned("b", 2), words(0, "a"), done(1))

    assert story.seams == []
    assert story.faults == []


class Stream:
    """An answer, as a client sees it."""

    def __init__(self, events: Sequence[StreamEvent]) -> None:
        self._events = iter(events)
        self.closed = False

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self

    async def __anext__(self) -> StreamEvent:
        for event in self._events:
            return event
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


class Process:
    def __init__(self) -> None:
        self.kills: list[int] = []
        self.closed = False
        self.seen = 0

    def kill(self) -> None:
        self.kills.append(self.seen)

    def close(self) -> None:
        self.closed = True


def fleet(name: str) -> FleetStatus:
    record = NodeRecord(
        id=NodeId(f"node-{name}"),
        instance="i",
        name=name,
        host="box",
        pid=4711,
        state=NodeState.READY,
        reason="",
        endpoint="tcp://127.0.0.1:1",
    )
    status = NodeStatus(
        record=record, last_seen=0.0, last_seen_age_s=0.0, in_flight=0, link_up=True
    )
    return FleetStatus(nodes=(status,), orchestrators=(), registry_connected=True)


def played(events: Sequence[StreamEvent], identify: Any) -> tuple[Story, NodeRecord | None]:
    return asyncio.run(play(Stream(events), fleet("a"), Unseen(), identify, ManualClock()))  # type: ignore[arg-type]


def test_one_kill_once_the_sentence_has_begun() -> None:
    process = Process()
    events: list[StreamEvent] = [assigned("a")]
    events += [words(index, " w") for index in range(2 * KILL_AFTER)]
    story, killed = played(events, lambda _: process)

    assert process.kills == [0]
    assert process.closed
    assert killed is not None
    assert killed.pid == 4711
    assert story.tokens == 2 * KILL_AFTER


def test_an_answer_that_ends_before_kills_nobody() -> None:
    process = Process()
    _, killed = played([assigned("a"), words(0, "No."), done(1)], lambda _: process)

    assert process.kills == []
    assert process.closed
    assert killed is None


def test_a_node_that_may_not_be_killed_ends_it() -> None:
    def refused(record: NodeRecord) -> Any:
        raise ConfigError(f"not {record.name}")

    stream = Stream([assigned("a"), words(0, "a")])
    with pytest.raises(ConfigError, match="not a"):
        asyncio.run(play(stream, fleet("a"), Unseen(), refused, ManualClock()))  # type: ignore[arg-type]
    assert stream.closed


class Seen(Unseen):
    """What a view was shown, in order."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def text(self, text: str) -> None:
        self.shown.append(text)

    def seam(self, seam: Seam) -> None:
        self.shown.append(f"[{seam.to_node} after {seam.gap_s:g} s]")

    def waiting(self, why: str) -> None:
        self.shown.append(f"({why})")

    def end(self) -> None:
        self.shown.append("end")


class Ticking(Stream):
    """A second passes before each event."""

    def __init__(self, events: Sequence[StreamEvent], clock: ManualClock) -> None:
        super().__init__(events)
        self._clock = clock

    async def __anext__(self) -> StreamEvent:
        await self._clock.advance(1.0)
        return await super().__anext__()


def test_all_that_comes_is_shown_with_the_seam_before_what_comes_after_it() -> None:
    view, clock = Seen(), ManualClock()
    events = [
        Decided(request_id=RequestId("0" * 32), decision=DECISION),
        assigned("a"),
        words(0, *[" w"] * KILL_AFTER),
        Waiting(why="nobody is there", up_to_s=5.0),
        assigned("b", 2),
        words(KILL_AFTER, " x", "y"),
    ]
    process = Process()
    stream = Ticking(events, clock)
    story, killed = asyncio.run(play(stream, fleet("a"), view, lambda _: process, clock))  # type: ignore[arg-type, return-value]

    assert killed is not None
    assert process.kills == [0]
    assert view.shown == [
        " w" * KILL_AFTER,
        "(nobody is there)",
        "[b after 3 s]",
        " xy",
        "end",
    ]
    assert stream.closed
    assert story.decision == DECISION


def test_whoever_answers_when_it_is_time_is_killed_and_nobody_else() -> None:
    processes = {"a": Process(), "b": Process()}
    events = [assigned("a"), assigned("b", 2), words(0, *[" w"] * KILL_AFTER)]
    both = replace(fleet("a"), nodes=(*fleet("a").nodes, *fleet("b").nodes))
    _, killed = asyncio.run(
        play(Stream(events), both, Unseen(), lambda node: processes[node.name], ManualClock())  # type: ignore[arg-type, return-value]
    )

    assert killed is not None
    assert killed.name == "b"
    assert (processes["a"].kills, processes["b"].kills) == ([], [0])
    assert all(process.closed for process in processes.values())


def test_where_the_answer_moved_to_one_that_may_not_be_killed_nothing_is() -> None:
    process = Process()

    def identify(record: NodeRecord) -> Any:
        if process.closed:
            raise ConfigError(f"not {record.name}")
        return process

    with pytest.raises(ConfigError, match="not a"):
        played([assigned("a"), assigned("a", 2), words(0, *[" w"] * KILL_AFTER)], identify)
    assert process.kills == []


def test_a_node_that_the_mesh_does_not_list_is_not_killed() -> None:
    with pytest.raises(ConfigError, match="node z has just come: try again"):
        played([assigned("z"), words(0, "a")], lambda _: Process())


class Client:
    def __init__(self, ready: Ready | None, *candidates: tuple[str, bool]) -> None:
        self._ready, self._candidates = ready, candidates
        self.asked: list[tuple[str, bool]] = []

    async def route(self, prompt: str, *, cacheable: bool = True) -> Route:
        self.asked.append((prompt, cacheable))
        rows = tuple(
            Candidate(
                node=NodeId(f"node-{name}"),
                node_name=name,
                model=MODEL,
                eligible=eligible,
                reason="",
            )
            for name, eligible in self._candidates
        )
        return Route(decision=DECISION, candidates=rows, ready=self._ready)


READY = Ready(source="memo", text="x", node_name="", model=MODEL, reason=FinishReason.STOP)


@pytest.mark.parametrize(
    ("candidates", "who"),
    [
        ((), "no node"),
        ((("a", False),), "no node"),
        ((("b", True),), "b alone"),
        ((("a", False), ("b", True)), "b alone"),
        ((("b", True), ("b", True)), "b alone"),  # two models of one node
    ],
)
def test_a_sentence_that_could_not_go_on_is_not_begun(
    candidates: tuple[tuple[str, bool], ...], who: str
) -> None:
    client = Client(None, *candidates)
    with pytest.raises(NoCandidate) as refused:
        asyncio.run(two_homes(client, "why?"))  # type: ignore[arg-type]
    assert refused.value.message.startswith(f"{who} can take a question of specialty math, and to ")
    assert client.asked == [("why?", False)]


def test_two_homes_are_enough_and_an_answer_that_is_there_needs_none() -> None:
    asyncio.run(two_homes(Client(None, ("a", True), ("b", True)), "why?"))  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="answers that without a node; give it another"):
        asyncio.run(two_homes(Client(READY, ("a", True), ("b", True)), "why?"))  # type: ignore[arg-type]

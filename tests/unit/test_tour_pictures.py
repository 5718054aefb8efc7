"""The whole tour as it was looked at: at 40, 80 and 200 columns, and in a pipe.

The mesh is scripted, and its events are those of a real one; what they look like is the tour's own.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from mesh.cli import tour
from mesh.cli.tour import page
from mesh.cli.tour.notes import Notes
from mesh.cli.tour.stage import KILL_AFTER
from mesh.clock import ManualClock
from mesh.errors import Unreachable
from mesh.fleet.records import (
    Memory,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    OrchestratorRecord,
)
from mesh.stream import (
    Assigned,
    Candidate,
    Decided,
    Done,
    FleetStatus,
    NodeStatus,
    Resume,
    Route,
    StreamEvent,
    Tokens,
)
from mesh.types import (
    Decision,
    FinishReason,
    ModelId,
    NodeId,
    OrchestratorId,
    Piece,
    RequestId,
    Specialty,
)

SNAPSHOTS = Path(__file__).parent / "snapshots" / "tour"
GIB = 2**30
SMOL = ModelId("smollm2-135m")
SKY = (
    "The sky is blue because of a process called Rayleigh scattering, where light encounters tiny "
    "molecules of air, which scatter shorter wavelengths of light more than longer ones."
)
NETWORK = (
    "A computer network is a system of interconnected devices that allows them to communicate with "
    "each other over a network. It is a way of sharing resources like computers, printers, and "
    "data. Each device has an address of its own, and packets find their way from one to the other."
)


def node(name: str, serves: str, **changes: Any) -> NodeStatus:
    model = ModelRecord(
        id=SMOL,
        engine="llama_cpp",
        specialties=(),
        state=ModelState.RESIDENT,
        slots=2,
        used_slots=0,
        context_length=8192,
        device="cpu",
        parameters=135_000_000,
    )
    record = NodeRecord(
        id=NodeId(f"node-{name}"),
        instance="1",
        name=name,
        host="box",
        pid=6077,
        state=NodeState.READY,
        reason="",
        endpoint="tcp://127.0.0.1:1",
        specialties=tuple(Specialty(each) for each in serves.split()),
        models=(model,),
        memory=Memory(total_bytes=24 * GIB, available_bytes=20 * GIB),
    )
    given: dict[str, Any] = {"last_seen": 0.0, "last_seen_age_s": 0.2, "in_flight": 0}
    return NodeStatus(record=record, **(given | {"link_up": True} | changes))


ROBIN = node("robin", "chat knowledge logic")
WREN = node("wren", "code math chat knowledge")
HUB = OrchestratorRecord(
    id=OrchestratorId("o"),
    instance="1",
    name="orchestrator",
    host="box",
    pid=6076,
    endpoint="127.0.0.1:7700",
    rules_version="28b8e1aae2e1",
    fallback="chat",
)
BOTH = FleetStatus(nodes=(ROBIN, WREN), orchestrators=(HUB,), registry_connected=True)
AGAIN = replace(
    BOTH,
    nodes=(
        replace(ROBIN, record=replace(ROBIN.record, instance="2", pid=6201, state=NodeState.READY)),
        WREN,
    ),
)
FRONT_DOOR = replace(BOTH, nodes=())


def decided(specialty: str, stage: str, rule: str | None, sure: float, micros: float) -> Decided:
    decision = Decision(
        specialty=Specialty(specialty), stage=stage, rule=rule, confidence=sure, micros=micros
    )
    return Decided(request_id=RequestId("r"), decision=decision)


def pieces(text: str) -> list[str]:
    first, *rest = text.split(" ")
    return [f" {first}", *(f" {word}" for word in rest)]


def tokens(first: int, texts: list[str]) -> list[StreamEvent]:
    return [
        Tokens(first=first + index, pieces=(Piece(index, text),))
        for index, text in enumerate(texts)
    ]


def assigned(name: str, attempt: int = 1) -> Assigned:
    return Assigned(node=NodeId(f"node-{name}"), node_name=name, model=SMOL, attempt=attempt)


def done(name: str, count: int, **changes: Any) -> Done:
    given: dict[str, Any] = {
        "reason": FinishReason.STOP,
        "node": NodeId(f"node-{name}"),
        "node_name": name,
        "model": SMOL,
        "prompt_tokens": 20,
        "completion_tokens": count,
        "cached_tokens": 0,
        "ttft_ms": 160.0,
        "tokens_per_second": 62.0,
        "resumed": False,
        "attempts": 1,
        "trace_id": "0" * 32,
        "queue_ms": 0.0,
    }
    return Done(**(given | changes))


def answers() -> dict[str, list[StreamEvent]]:
    sky, network = pieces(SKY), pieces(NETWORK)
    resume = Resume(
        from_node="robin",
        to_node="wren",
        at_token=KILL_AFTER + 1,
        gap_ms=48.0,
        reason="node_lost",
        same_weights=True,
        by_ids=True,
    )
    return {
        tour.EXACT: [
            decided("calculator", "exact", "dates", 1.0, 84.0),
            *tokens(0, ["1029", " days"]),
            done("", 2, node=NodeId(""), node_name="orchestrator", source="exact"),
        ],
        tour.SMALL_TALK: [
            decided("knowledge", "classifier", None, 0.42, 210.0),
            assigned("robin"),
            *tokens(0, sky),
            done("robin", len(sky)),
        ],
        tour.KILLED: [
            decided("knowledge", "classifier", None, 0.55, 190.0),
            assigned("robin"),
            *tokens(0, network[: KILL_AFTER + 1]),
            assigned("wren", 2),
            *tokens(KILL_AFTER + 1, network[KILL_AFTER + 1 :]),
            done("wren", len(network), resumed=True, attempts=2, resumes=(resume,)),
        ],
    }


@dataclass
class Scripted:
    """A client, as far as the tour asks one. A token comes every 16 ms, one after a kill 48 ms
    later."""

    fleets: list[FleetStatus]
    clock: ManualClock

    async def __aenter__(self) -> Scripted:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def fleet(self) -> FleetStatus:
        return self.fleets.pop(0) if len(self.fleets) > 1 else self.fleets[0]

    async def route(self, prompt: str, **_: object) -> Route:
        event = answers()[prompt][0]
        assert isinstance(event, Decided)
        both = (ROBIN.record, WREN.record)
        rows = [
            Candidate(
                node=each.id, node_name=each.name, model=SMOL, eligible=True, reason="", score=1.0
            )
            for each in both
        ]
        return Route(decision=event.decision, candidates=tuple(rows))

    async def events(self, prompt: str, **_: object) -> AsyncIterator[StreamEvent]:
        for event in answers()[prompt]:
            late = isinstance(event, Assigned) and event.attempt > 1
            await self.clock.advance(0.032 if late else 0.016)
            yield event


class Process:
    """A node's, which the tour may kill."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def kill(self) -> None:
        self._notes("robin died (killed by SIGKILL); starting again in 1 s")

    def close(self) -> None:
        pass


async def toured(
    monkeypatch: pytest.MonkeyPatch, width: int, fleets: list[FleetStatus], endpoint: str
) -> list[str]:
    out, clock = io.StringIO(), ManualClock()
    notes = Notes(lambda line: out.write(f"{line}\n"))
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "argv", ["/box/bin/mesh"])
    monkeypatch.setattr(tour.shutil, "which", lambda _: "/box/bin/mesh")
    monkeypatch.setattr(tour, "SystemClock", lambda: clock)
    monkeypatch.setattr(tour, "connect", lambda _: Scripted(fleets, clock))
    monkeypatch.setattr(tour, "started_by", lambda _: lambda record: Process(notes))
    await tour.take(endpoint, Path("/state"), notes)
    monkeypatch.undo()
    return out.getvalue().splitlines()


def held(name: str, lines: list[str]) -> None:
    """After a change that is meant: MESH_SNAPSHOTS=write, and look at it."""
    kept = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("MESH_SNAPSHOTS") == "write":
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert lines == kept.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
async def test_the_tour_is_as_it_was_looked_at(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = await toured(monkeypatch, width, [BOTH, BOTH, AGAIN], tour.DEFAULT_ENDPOINT)

    shown = [line.rstrip() for line in lines]
    to_copy = {line for command, what in page.TRY for line in (command, f"# {what}")}
    assert [line for line in shown if cell_len(line) > width and line.strip() not in to_copy] == []
    held(f"tour-{width}", shown)


@pytest.mark.parametrize("width", [40, 80])
async def test_a_front_door_tours_what_it_has(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = await toured(monkeypatch, width, [FRONT_DOOR], "127.0.0.1:7811")

    held(f"front-door-{width}", [line.rstrip() for line in lines])


async def test_the_words_that_were_shown_are_those_that_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for width in (20, 40, 80, 200):
        lines = await toured(monkeypatch, width, [BOTH, BOTH, AGAIN], tour.DEFAULT_ENDPOINT)
        words = " ".join(" ".join(lines).split())
        assert SKY in words
        before, after = words.split("[⟂ robin killed · goes on at wren after 48 ms] ")
        told = f"{before.rsplit('> ', 1)[1].split('paragraph. ', 1)[1]}{after}"
        assert told.startswith(NETWORK)


async def test_a_mesh_that_went_away_leaves_a_line_and_what_to_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def gone(self: Scripted) -> FleetStatus:
        raise Unreachable("no orchestrator answers at 127.0.0.1:7700")

    monkeypatch.setattr(Scripted, "fleet", gone)
    lines = await toured(monkeypatch, 80, [BOTH], tour.DEFAULT_ENDPOINT)

    assert "  no orchestrator answers at 127.0.0.1:7700" in lines
    assert any("mesh chat" in line for line in lines)

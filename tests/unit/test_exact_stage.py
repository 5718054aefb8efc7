"""Stage ``exact``: whole answers, and when it leaves a prompt to the stages after it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from mesh.clock import ManualClock
from mesh.exact import asking
from mesh.exact.base import Exact
from mesh.exact.quick import units
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.process import SolverProcess
from mesh.types import FinishReason, Message, ModelId, Role, Sampling, Specialty
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.cascade import Cascade
from orchestrator.router.exact import ExactSettings, ExactStage
from tests.stage_rig import placed

EQUATION = "Solve x^2 - 5x + 6 = 0 for x."


class FakeSolver(SolverProcess):
    """Answers at once with what it is given, and remembers what it was asked."""

    def __init__(self, exact: Exact | None) -> None:
        super().__init__(1 << 30)
        self.exact = exact
        self.asked: list[tuple[SolverProblem, float]] = []
        self.running = asyncio.Event()

    async def solve(self, problem: SolverProblem, timeout_s: float) -> Exact | None:
        self.asked.append((problem, timeout_s))
        return self.exact

    async def run(self) -> None:
        self.running.set()
        await asyncio.Event().wait()


@pytest.fixture(scope="module", autouse=True)
def _definitions() -> None:
    units.load()


def features(text: str, *, system: str = "", **changes: object) -> Features:
    messages = (Message.of(Role.USER, text),)
    if system:
        messages = (Message.of(Role.SYSTEM, system), *messages)
    return replace(Features.of(messages), **changes)  # type: ignore[arg-type]


def stage(solver: SolverProcess | None = None) -> ExactStage:
    return ExactStage(solver, ManualClock(), ExactSettings())


def consulted(exact: ExactStage, asked: Features) -> Verdict | Abstain:
    """Driven to its end by one step: a quick kind never waits."""
    coroutine = exact.consult(asked)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    said: Verdict | Abstain = ended.value.value
    return said


def test_a_sum_is_answered_without_waiting_for_anything() -> None:
    verdict = consulted(stage(), features("what is 12 times 7?"))
    assert isinstance(verdict, Verdict)
    assert (verdict.specialty, verdict.confidence, verdict.rule) == (
        "calculator",
        1.0,
        "arithmetic",
    )
    assert verdict.note == "read as 12 * 7"
    assert verdict.alternatives[0].specialty == "calculator"
    ready = verdict.answer
    assert ready is not None
    assert [(p.id, p.text) for p in ready.pieces] == [(0, "84")]
    assert (ready.source, ready.model, ready.node) == ("exact", "tools", "")
    assert ready.reason is FinishReason.STOP
    assert ready.prompt_tokens == 5


def test_a_conversion_is_answered_in_words_once_the_units_are_loaded() -> None:
    verdict = consulted(stage(), features("how many cups in 4 quarts"))
    assert isinstance(verdict, Verdict)
    assert verdict.specialty == "units"
    assert verdict.answer is not None
    assert [p.text for p in verdict.answer.pieces] == [
        "16",
        " US",
        " cups",
        " (4",
        " US",
        " quarts)",
    ]
    assert [p.id for p in verdict.answer.pieces] == list(range(6))


def test_before_the_units_are_loaded_it_abstains_instead_of_blocking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(units, "_registry", None)
    said = consulted(stage(), features("how many cups in 4 quarts"))
    assert isinstance(said, Abstain)
    assert "still being loaded" in said.note
    assert not units.loaded()


def test_earlier_turns_are_only_read_for_what_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    earlier = asking.earlier
    monkeypatch.setattr(
        asking,
        "earlier",
        lambda messages, today: read.append(len(messages)) or earlier(messages, today),
    )
    before = Message.of(Role.USER, "From now on answer only in JSON.")
    for text, note in (("who wrote hamlet", "not read"), ("what is 2 + 2", "may have agreed")):
        turns = (before, Message.of(Role.USER, text))
        said = consulted(stage(), Features.of(turns))
        assert isinstance(said, Abstain)
        assert note in said.note
    assert read == [1]


def test_dates_are_counted_from_the_clocks_day() -> None:
    verdict = consulted(stage(), features("what date is 1 day from now"))
    assert isinstance(verdict, Verdict)
    assert verdict.answer is not None
    assert "2023" in "".join(piece.text for piece in verdict.answer.pieces)


@pytest.mark.parametrize(
    ("asked", "note"),
    [
        (features("hello"), "not read"),
        (features("and for 12?"), "not read"),
        (features("how many litres in a kilometre"), "which do not convert"),
        (features("2 + 2", system="Answer in JSON."), "system text"),
        (features("2 + 2", model=ModelId("tiny")), "by name"),
        (features("2 + 2", specialty=Specialty("code")), "'code' was asked for"),
        (features("10 - 30", sampling=Sampling(stop=("0",))), "nothing asks"),
        (features("10 + 30", sampling=Sampling(stop=("0",))), "stop string"),
        (
            features("days between 1 May 2024 and 3 May 2024", sampling=Sampling(max_tokens=1)),
            "max_tokens is 1",
        ),
        (features(EQUATION), "solver, which is not there"),
    ],
)  # fmt: skip
def test_it_abstains_with_the_reason(asked: Features, note: str) -> None:
    said = consulted(stage(), asked)
    assert isinstance(said, Abstain)
    assert note in said.note


async def test_a_problem_for_the_solver_is_handed_over_with_the_deadline() -> None:
    solver = FakeSolver(Exact(text="x = 2 or x = 3", kind="equation", specialty=Specialty("math")))
    exact = ExactStage(solver, ManualClock(), ExactSettings(timeout_ms=1500))
    verdict = await exact.consult(features(EQUATION))
    assert isinstance(verdict, Verdict)
    assert verdict.specialty == "math"
    assert verdict.answer is not None
    assert "".join(piece.text for piece in verdict.answer.pieces) == "x = 2 or x = 3"
    assert [timeout for _, timeout in solver.asked] == [1.5]
    assert exact.timeout_s > 1.5


async def test_it_abstains_when_the_solver_has_no_answer() -> None:
    said = await stage(FakeSolver(None)).consult(features(EQUATION))
    assert isinstance(said, Abstain)
    assert "no answer that is sure" in said.note


async def test_quick_problems_never_reach_the_solver() -> None:
    solver = FakeSolver(None)
    await stage(solver).consult(features("2 + 2"))
    await stage(solver).consult(features("hello"))
    assert solver.asked == []


async def test_run_loads_the_units_and_owns_the_solver_until_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    solver, loading = FakeSolver(None), threading.Event()
    monkeypatch.setattr(units, "load", loading.set)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        task = group.create_task(stage(solver).run())
        await solver.running.wait()
        assert await asyncio.to_thread(loading.wait, 20)
        task.cancel()
    assert task.cancelled()


async def test_in_a_cascade_the_answer_comes_with_the_decision() -> None:
    outcome = await Cascade(placed(stage()), Specialty("chat")).decide(
        features("what is 15% of 80")
    )
    assert outcome.decision.stage == "exact"
    assert outcome.decision.specialty == "calculator"
    assert outcome.answer is not None
    assert outcome.answer.pieces[0].text == "12"
    outcome = await Cascade(placed(stage()), Specialty("chat")).decide(features("hello"))
    assert outcome.decision.stage == "fallback"
    assert outcome.answer is None


@pytest.mark.parametrize("form", [{"grammar": 'root ::= "a"'}, {"json_schema": "{}"}])
def test_an_answer_of_a_given_form_is_left_to_a_model(form: dict[str, str]) -> None:
    asked = features("what is 2 + 2", sampling=Sampling(**form))  # type: ignore[arg-type]
    assert isinstance(consulted(stage(), asked), Abstain)


async def test_what_another_moment_may_answer_is_said_to_be_passing() -> None:
    outcome = await Cascade(placed(stage(FakeSolver(None))), Specialty("chat")).decide(
        features(EQUATION)
    )
    assert outcome.passing
    outcome = await Cascade(placed(stage()), Specialty("chat")).decide(features("hello"))
    assert not outcome.passing

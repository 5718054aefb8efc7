"""What the tour says under each act, of what it saw."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from mesh.cli.tour import page
from mesh.cli.tour.story import Story
from mesh.fleet.records import ModelRecord, ModelState, NodeRecord, NodeState
from mesh.stream import Done, FleetStatus, NodeStatus, Resume
from mesh.types import Decision, FinishReason, ModelId, NodeId, Specialty
from tests.unit.test_tour_page import SEAM, printed

MODEL = ModelId("smol")
DECISION = Decision(
    specialty=Specialty("math"), stage="exact", rule="word_problem", confidence=1.0, micros=84.0
)
DONE = Done(
    reason=FinishReason.STOP,
    node=NodeId("node-robin"),
    node_name="robin",
    model=MODEL,
    prompt_tokens=3,
    completion_tokens=12,
    cached_tokens=0,
    ttft_ms=4.0,
    tokens_per_second=0.0,
    resumed=False,
    attempts=1,
    trace_id="0" * 32,
    queue_ms=0.0,
)
ROBIN = NodeRecord(
    id=NodeId("node-robin"),
    instance="one",
    name="robin",
    host="box",
    pid=4711,
    state=NodeState.READY,
    reason="",
    endpoint="tcp://127.0.0.1:1",
)


def hosting(parameters: int) -> NodeRecord:
    model = ModelRecord(
        id=MODEL,
        engine="llama_cpp",
        specialties=(Specialty("chat"),),
        state=ModelState.RESIDENT,
        slots=1,
        used_slots=0,
        context_length=0,
        device="cpu",
        parameters=parameters,
    )
    return replace(ROBIN, models=(model,))


@pytest.mark.parametrize(
    ("micros", "source", "line"),
    [
        (84.4, "exact", "math via exact/word_problem (1.00) · 84 µs · no GPU, no model"),
        (999.0, "exact", "math via exact/word_problem (1.00) · 999 µs · no GPU, no model"),
        (1_000.0, "exact", "math via exact/word_problem (1.00) · 1.0 ms · no GPU, no model"),
        (999_400.0, "exact", "math via exact/word_problem (1.00) · 999 ms · no GPU, no model"),
        (
            84.0,
            "",
            "a model was asked: math via exact/word_problem (1.00) · node robin · first token "
            "4.0 ms",
        ),
    ],
)
def test_a_sum_was_worked_out_or_a_model_was_asked(micros: float, source: str, line: str) -> None:
    decision, done = replace(DECISION, micros=micros), replace(DONE, source=source)
    assert page.exact_line(decision, done) == line


def test_an_answer_that_was_cut_says_so() -> None:
    whole = page.answered_line(DECISION, DONE)
    assert whole == "math via exact/word_problem (1.00) · node robin · first token 4.0 ms"
    cut = page.answered_line(DECISION, replace(DONE, reason=FinishReason.LENGTH))
    assert cut.startswith(f"{whole} · the answer was cut off at its limit of 12 tokens")


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (hosting(134_500_000), "smol has 134 million parameters: a small one"),
        (hosting(999_999_999), "smol has 1000 million parameters"),
        (hosting(1), "smol has 0 million parameters"),
        (hosting(1_000_000_000), ""),
        (hosting(0), ""),
        (ROBIN, ""),
        (None, ""),
    ],
)
def test_a_small_model_is_called_one(record: NodeRecord | None, says: str) -> None:
    told = page.about_model(record, DONE)
    assert told.startswith(says)
    assert bool(told) is bool(says)


def test_the_closing_line_says_what_became_of_the_answer() -> None:
    story = Story(tokens=9)
    assert page.closing_line(story, None) == (
        "It ended after 9 tokens, before the kill: nothing was killed."
    )
    assert page.closing_line(story, ROBIN) == (
        "robin (pid 4711) was killed when the answer was whole already: nothing had to go on."
    )
    story.seams = [SEAM, replace(SEAM, to_node="finch")]
    assert page.closing_line(story, ROBIN) == (
        "robin (pid 4711) was killed; wren goes on at token 6 after 48 ms. " + story.verdict
    )
    story.seams = [replace(SEAM, gap_s=0.9994)]
    assert " after 999 ms. " in page.closing_line(story, ROBIN)


def status(record: NodeRecord, **since: float) -> NodeStatus:
    return NodeStatus(
        record=record, last_seen=0.0, last_seen_age_s=0.0, in_flight=0, link_up=True, **since
    )


@pytest.mark.parametrize(
    ("nodes", "line"),
    [
        ((), "robin is gone; it is being started again"),
        ((status(replace(ROBIN, id=NodeId("x"))),), "robin is gone; it is being started again"),
        ((status(ROBIN),), "robin is ready; it is being started again"),
        ((status(ROBIN, gone_since=1.0),), "robin is gone; it is being started again"),
        (
            (status(replace(ROBIN, id=NodeId("x"))), status(ROBIN, unreachable_since=1.0)),
            "robin is unreachable; it is being started again",
        ),
        (
            (status(replace(ROBIN, instance="two", pid=4712)),),
            "robin was started again as pid 4712, and is ready",
        ),
    ],
)
def test_the_killed_node_is_followed_until_it_is_back(
    nodes: tuple[NodeStatus, ...], line: str
) -> None:
    fleet = FleetStatus(nodes=nodes, orchestrators=(), registry_connected=True)
    assert page.comeback(ROBIN, fleet) == line


def resume(**changes: object) -> Resume:
    values: dict[str, object] = {
        "from_node": "robin",
        "to_node": "wren",
        "at_token": 6,
        "gap_ms": 48.0,
        "reason": "node_lost",
        "same_weights": True,
        "by_ids": True,
    }
    return Resume(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("resumes", "how"),
    [
        ((), "goes on after it."),
        ((resume(),), "goes on after it, from the very tokens."),
        ((resume(by_ids=False), resume()), "goes on after it, from their text."),
        (
            (resume(same_weights=False, to_model="qwen"),),
            "goes on after it, from the very tokens, by another model (qwen).",
        ),
    ],
)
def test_the_verdict_says_how_it_went_on(resumes: tuple[Resume, ...], how: str) -> None:
    story = Story(done=replace(DONE, resumes=resumes))
    assert story.verdict.endswith(how)
    assert story.resume == (resumes[0] if resumes else None)
    assert Story().resume is None


def test_the_verdict_names_every_fault() -> None:
    assert Story(faults=["a", "b"]).verdict == "The words do not add up: a; b"


@pytest.mark.parametrize("width", [39, 40])
def test_remarks_stand_beside_commands_only_where_all_fit(width: int) -> None:
    lines = (("mesh chat", "one"), ("mesh status", "abcdefghijklmnopqrstuvw"))
    shown = printed(width, page.what_next(lines), soft_wrap=True).splitlines()
    assert shown[-1].endswith("# abcdefghijklmnopqrstuvw" if width == 40 else "mesh status")
    assert len(shown) == (2 if width == 40 else 4)


def test_a_page_is_of_headings_questions_and_remarks() -> None:
    assert printed(40, page.heading(2, "A kill")) == "\n2 A kill\n"
    assert printed(40, page.question("Why?")) == "  > Why?\n"
    assert printed(40, page.failed("no\x1b[2J")).startswith("  no")
    assert "\x1b" not in printed(40, page.aside("a\x1b[2J"))
    assert printed(2_000, page.aside("x" * 700)).strip() == "x" * 599 + "…"


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (18, ["  ab · cde · fg"]),
        (16, ["  ab · cde · fg"]),
        (15, ["  ab · cde · fg"]),
        (14, ["  ab · cde ·", "  fg"]),
        (11, ["  ab ·", "  cde · fg"]),
        (9, ["  ab ·", "  cde ·", "  fg"]),
        (6, ["  ab", "  cde", "  fg"]),
    ],
)
def test_a_line_goes_on_between_its_parts(width: int, lines: list[str]) -> None:
    if width > 6:
        assert printed(width, page.aside("ab · cde · fg")).splitlines() == lines
    else:
        assert [str(each) for each in page._lines(Text("ab · cde · fg"), 3)] == ["ab", "cde", "fg"]


@pytest.mark.parametrize("width", [80, 7])
def test_the_dot_between_two_parts_is_as_faint_as_they_are(width: int) -> None:
    file = io.StringIO()
    screen = Console(
        file=file, width=width, force_terminal=True, color_system="standard", _environ={}
    )
    screen.print(page.aside("ab · cd"))
    assert "·" in file.getvalue()
    assert re.sub(r"\x1b\[2m[^\x1b]*\x1b\[0m", "", file.getvalue()).strip() == ""


def test_a_remark_is_faint_and_a_failure_is_yellow() -> None:
    def styled(content: object) -> str:
        file = io.StringIO()
        Console(file=file, force_terminal=True, color_system="standard", _environ={}).print(content)
        return file.getvalue()

    assert "\x1b[2ma" in styled(page.aside("a"))
    assert "\x1b[33ma" in styled(page.failed("a"))
    assert "\x1b[1;36m2 " in styled(page.heading(2, "A kill"))

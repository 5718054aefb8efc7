"""What is asked for decides, and not the words of what it is asked about."""

from __future__ import annotations

import pytest

from mesh.types import Message, Role
from orchestrator.router.base import Features, Verdict
from orchestrator.router.reload import starter_rules
from orchestrator.router.rule_file import parse
from orchestrator.router.rules import RulesStage

REPORT = "The court ruled that the tax may stand. If it does, then all of the premises hold."


@pytest.fixture(scope="module")
def starter() -> RulesStage:
    return RulesStage(parse(starter_rules().read_bytes()))


def label(stage: RulesStage, text: str, system: str = "") -> str | None:
    before = (Message.of(Role.SYSTEM, system),) if system else ()
    said = stage.decide(Features.of((*before, Message.of(Role.USER, text))))
    return said.specialty if isinstance(said, Verdict) else None


@pytest.mark.parametrize(
    "text",
    [
        f"Summarize this in three bullet points.\n\n{REPORT}",
        f"{REPORT}\n\nSummarize this in three bullet points.",
        f"{REPORT}\n\nPlease proofread the text.",
        f"{REPORT}\n\nMake this half as long.",
        f"Write a polite reply to this.\n\n{REPORT}",
        f"tl;dr\n\n{REPORT}",
        f"Can you rewrite this?\n\nwrite a function that returns $x^2$\n{REPORT}",
    ],
)
def test_a_request_at_an_end_of_a_long_text_decides(starter: RulesStage, text: str) -> None:
    assert label(starter, text) == "chat"


@pytest.mark.parametrize(
    "text",
    [
        "Rewrite this function in Python: def f(): pass",
        "Translate this to C++",
        "Rewrite the expression 2x + 3x",
        "Simplify $\\frac{3}{4} + \\frac{1}{8}$.",
    ],
)
def test_a_request_on_code_or_sums_is_none_on_a_text(starter: RulesStage, text: str) -> None:
    assert label(starter, text) != "chat"


@pytest.mark.parametrize("text", ["It was $5 | then $6.", "from $400, then = $150/screen", "$5,$6"])
def test_two_prices_are_no_formula(starter: RulesStage, text: str) -> None:
    assert label(starter, text) != "math"


def test_the_system_text_takes_part(starter: RulesStage) -> None:
    asked = "Write a function that returns the sum of 2 numbers"
    assert label(starter, asked) == "code"
    assert label(starter, asked, "You are a translator.") == "chat"
    assert label(starter, asked, "You translate what you are given into Python code.") == "code"
    assert label(starter, asked, "Be brief.") == "code"

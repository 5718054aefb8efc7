"""The measuring of the router: what counts as right, as a flip, as sure, as held."""

from __future__ import annotations

import json
import subprocess
import sys
from math import isnan
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the router's benchmark compares with scikit-learn")

from mesh.types import Message, Role
from orchestrator.router.classifier import ClassifierStage
from training.router.quality import bars, tables
from training.router.quality.asked import Asked, read
from training.router.quality.calibration import error_of, expected_error
from training.router.quality.deciding import Made, decided, router
from training.router.quality.flips import otherwise, share, ways
from training.router.quality.languages import language_of
from training.router.quality.left_out import folds_of

ROOT = Path(__file__).parents[2]


def asked(prompt: str = "hello", *right: str, slices: tuple[str, ...] = ()) -> Asked:
    right = right or ("chat",)
    turns = (Message.of(Role.USER, prompt),)
    return Asked(prompt, right[0], frozenset(right), "here", frozenset(slices), turns)


def made(specialty: str, row: Asked | None = None, confidence: float = 0.9) -> Made:
    return Made(row or asked(), specialty, "rules", confidence, 1.0)


def written(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def turns(*texts: str) -> list[dict[str, str]]:
    """The user's and the assistant's in turn."""
    return [{"role": ("user", "assistant")[n % 2], "content": t} for n, t in enumerate(texts)]


def test_a_row_is_read_with_all_that_counts_as_right(tmp_path: Path) -> None:
    messages = turns("2 + 2", "4", "and 3 + 3?")
    path = written(
        tmp_path,
        {"prompt": "hi", "label": "chat"},
        {
            "prompt": "and 3 + 3?",
            "label": "math",
            "labels": ["math", "calculator"],
            "source": "logs",
            "slices": ["follow-up"],
            "messages": messages,
        },
    )
    plain, follow_up = read(path)
    assert (plain.right, plain.source, len(plain.messages)) == ({"chat"}, "rows", 1)
    assert made("calculator", follow_up).right
    assert not made("chat", follow_up).right
    assert [m.text for m in follow_up.messages] == ["2 + 2", "4", "and 3 + 3?"]
    before = follow_up.before()
    assert before is not None
    assert (before.prompt, len(before.messages)) == ("2 + 2", 1)
    assert plain.before() is None


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ({"prompt": "hi", "label": "chat", "labels": ["math"]}, "none of its labels"),
        ({"prompt": "hi", "label": "chat", "messages": turns("ho")}, "last of its messages"),
        ({"prompt": "hi", "label": "chat", "messages": turns("hi", "ho")}, "last of its messages"),
        ({"label": "chat"}, "prompt"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(
    tmp_path: Path, row: dict[str, object], wrong: str
) -> None:
    path = written(tmp_path, {"prompt": "fine", "label": "chat"}, row)
    with pytest.raises(SystemExit, match=f"line 2: .*{wrong}"):
        read(path)


def test_words_said_otherwise_replace_the_last_turn_only() -> None:
    row = asked()
    long = Asked("b", "chat", row.right, messages=(Message.of(Role.USER, "a"), *row.messages))
    other = long.said("c")
    assert (other.prompt, [m.text for m in other.messages]) == ("c", ["a", "c"])


def test_calibration_error_is_the_gap_of_each_bin_by_its_size() -> None:
    # Eight at 0.95 of which six are right, two at 0.35 of which both are.
    said = [(0.95, n < 6) for n in range(8)] + [(0.35, True)] * 2
    assert expected_error(said) == pytest.approx(0.8 * 0.2 + 0.2 * 0.65)
    # Gaps of opposite signs in two bins do not cancel; within one they do.
    assert expected_error([(0.25, True), (0.75, False)]) == pytest.approx(0.75)
    assert expected_error([(0.51, True), (0.55, False)]) == pytest.approx(0.03)
    assert expected_error([(1.0, True)]) == 0.0
    assert isnan(expected_error([]))


def test_a_decision_that_says_nothing_of_its_surety_is_not_measured_by_it() -> None:
    assert error_of([made("chat", confidence=1.0), made("math", confidence=0.0)]) == 0.0


def test_a_flip_is_a_changed_decision_among_those_that_were_said_otherwise() -> None:
    rows = [asked("what is a fish"), asked("fish"), asked("What is red?")]
    opened = otherwise(rows, ways()["other opening"])
    assert {n: row.prompt for n, row in opened.items()} == {
        0: "what's a fish",
        2: "What's red?",
    }
    first = [made("chat"), made("math"), made("chat")]
    assert share(first, {0: made("chat"), 2: made("math")}) == 0.5
    assert isnan(share(first, {}))


def test_each_way_keeps_what_is_asked_and_is_the_same_every_time() -> None:
    text = "How do I sort a list of words by their lengths in Python, and what does it cost? " * 3
    for name, way in ways().items():
        said = way(text)
        assert said is not None
        assert said == ways()[name](text), f"{name} is not seeded"
        assert said != text
    assert ways()["greeting before"]("Wie viel ist das?") == "Hallo, Wie viel ist das?"
    assert ways()["words around"]("Wie viel ist das?") is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How much is that?", "en"),
        ("print", "en"),
        ("Was ist die Hauptstadt und wie groß ist sie?", "de"),
        ("¿Cuál es la capital del país?", "es"),
        ("Quelle est la capitale du pays ?", "fr"),
        ("Qual é a capital do meu país?", "pt"),
        ("Qual è la capitale della Francia?", "it"),
        ("Сколько будет два плюс два", "ru"),
        ("法国的首都是哪里", "zh"),
        ("フランスの首都はどこですか", "ja"),
        ("프랑스의 수도는 어디입니까", "ko"),
        ("ما هي عاصمة فرنسا", "ar"),
        ("फ्रांस की राजधानी क्या है", "hi"),
        ("What does the word привет mean in a letter to a friend who has never spoken any?", "en"),
    ],
)
def test_a_prompts_language_is_told(text: str, language: str) -> None:
    assert language_of(text) == language


def test_bars_are_measured_on_their_slices_and_say_whether_they_hold() -> None:
    good = [made("chat", asked(slices=("real-log",)))] * 9
    bad = [made("math", asked(slices=("non-english",)))]
    found = {bar.name: bar for bar in bars.real(good + bad, flips=0.06)}
    assert found["real chat logs"].held
    assert found["real chat logs"].prompts == 9
    assert not found["other languages"].held
    assert found["English, single turn"].prompts == 9
    assert found["all"].found == pytest.approx(0.9)
    assert found["all"].held
    assert not found["flips"].held
    assert not found["long"].held, "nothing measured holds nothing"
    assert found["calibration error"].held


def test_sources_count_alike_whatever_their_sizes() -> None:
    big = [made("chat")] * 9
    small = made("math", Asked("x", "chat", frozenset({"chat"}), "there"))
    assert bars.mean_of_sources([*big, small]) == pytest.approx(0.5)


def test_follow_ups_are_told_apart_by_the_turn_before(capsys: pytest.CaptureFixture[str]) -> None:
    row = asked(slices=("follow-up",))
    decisions = [made("chat", row), made("math", row), made("chat")]
    before = {0: made("chat", row), 1: made("math", row), 2: made("math")}
    figures = tables.follow_ups(decisions, before)
    assert figures == {"turn_before_right": 1.0, "turn_before_wrong": 0.0}
    assert "(1)" in capsys.readouterr().out


@pytest.mark.parametrize("count", [None, 2, 9])
def test_each_source_is_in_one_fold(count: int | None) -> None:
    parts = folds_of(["a", "b", "c", "a"], count)
    assert sorted(name for part in parts for name in part) == ["a", "b", "c"]
    assert len(parts) == (2 if count == 2 else 3)


async def test_a_conversation_is_decided_with_all_its_turns() -> None:
    rows = [
        Asked("and for 12?", "math", frozenset({"math"}), messages=conversation)
        for conversation in (
            (Message.of(Role.USER, "and for 12?"),),
            (
                Message.of(Role.USER, "Find the derivative of x^2 + 3x"),
                Message.of(Role.ASSISTANT, "2x + 3"),
                Message.of(Role.USER, "and for 12?"),
            ),
        )
    ]
    async with router(ClassifierStage(), embedding=False) as decider:
        alone, leaning = await decided(rows, decider)
    assert alone.stage != "conversation"
    assert (leaning.stage, leaning.right) == ("conversation", True)


def test_one_run_prints_every_file_and_the_bars(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"prompt": "What is 2 + 2?", "label": "math", "labels": ["math", "calculator"]},
        {"prompt": "write a poem about rain", "label": "chat", "slices": ["real-log"]},
    )
    learnt = tmp_path / "learnt.jsonl"
    learnt.write_text(path.read_text() * 2)
    figures, wrong = tmp_path / "figures.json", tmp_path / "wrong.jsonl"
    files = [str(path), str(path), "--train", str(learnt)]
    command = [sys.executable, "-m", "benchmarks.router_quality", *files]
    command += ["--json", str(figures), "--wrong", str(wrong)]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.count("==== rows.jsonl: 2 prompts") == 2
    assert "in-sample" in out
    assert out.count("real chat logs") == 2
    assert json.loads(figures.read_text())["rows.jsonl"]["accuracy"] == 1.0
    assert wrong.read_text() == ""

"""What `mesh rules check` finds in a rules file."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import ConfigError
from mesh.types import Specialty
from orchestrator.router.base import Verdict
from orchestrator.router.rule_file import Rule, RuleSet
from orchestrator.router.rules import RulesStage
from orchestrator.rules.__main__ import main
from orchestrator.rules.check import Report, check
from orchestrator.rules.labelled import Labelled, features, lower_bound, read_labelled
from orchestrator.rules.statics import FindingKind, findings


def _rule(name: str, specialty: str | None, pattern: str, more: str = "") -> str:
    label = f"specialty = '{specialty}'\n" if specialty else ""
    return f"[[rules]]\nname = '{name}'\n{label}pattern = '''{pattern}'''\n{more}\n"


def _check(*rules: str, rows: tuple[tuple[str, str], ...] = (), head: str = "") -> Report:
    content = (head + "\n" + "".join(rules)).encode()
    return check(content, [Labelled(*row) for row in rows])


def _found(report: Report, kind: FindingKind) -> list[tuple[str, str]]:
    return [(each.rule, each.other) for each in report.findings if each.kind is kind]


def test_a_clean_file_has_no_findings() -> None:
    report = _check(_rule("sum", "math", "sum"), _rule("loop", "code", "loop"))
    assert report.findings == ()
    assert (report.rules, report.patterns, report.errors) == (2, 2, 0)


def test_every_error_is_named_and_not_only_the_first_five() -> None:
    broken = [_rule(f"r{n}", "math", "a(?=b)") for n in range(8)]
    report = _check(*broken, _rule("repeat", "math", "a**"), _rule("empty", "math", "a*"))
    messages = [each.message for each in report.findings]
    assert report.errors == 10
    for n in range(8):
        assert messages[n].startswith(f"rule {n + 1} 'r{n}': look-ahead")
    assert messages[8].startswith("rule 'repeat': Invalid repeat")
    assert "matches where there is nothing" in messages[9]


def test_patterns_that_only_the_engine_refuses_are_all_named() -> None:
    report = _check(*(_rule(f"r{n}", "math", "a{2}{3}") for n in range(7)))
    assert [each.message.split(":")[0] for each in report.findings] == [
        f"rule {n + 1} 'r{n}'" for n in range(7)
    ]


@pytest.mark.parametrize("content", [b"\xff", b"rules = 3", b"[[rules", b"fallback = 'A B'"])
def test_a_file_that_is_no_rules_file_is_an_error(content: bytes) -> None:
    assert check(content).errors == 1


def test_an_empty_file_is_clean_and_decides_nothing() -> None:
    report = check(b"", [Labelled("anything", "math")])
    assert report.errors == 0
    assert report.coverage == 0.0


CONTRADICTIONS = {
    "a veto on the same words": (
        _rule("yes", "math", "sum") + _rule("no", "math", "sum", "veto = true"),
        ("yes", "no"),
    ),
    "a veto on the same words and more": (
        _rule("yes", "math", "sum")
        + "[[rules]]\nname = 'no'\nspecialty = 'math'\nveto = true\npatterns = ['a', 'sum']\n",
        ("yes", "no"),
    ),
    "requires its own veto": (
        _rule("yes", "math", "sum", "requires = ['no']")
        + _rule("no", "math", "poem", "veto = true"),
        ("yes", "no"),
    ),
    "excludes what always matches with it": (
        _rule("yes", "math", "sum", "excludes = ['mark']") + _rule("mark", None, "sum"),
        ("yes", "mark"),
    ),
    "requires what an excluded rule includes": (
        _rule("yes", "math", "sum", "requires = ['a']\nexcludes = ['b']")
        + _rule("a", None, "plus")
        + _rule("b", None, "plus"),
        ("yes", "b"),
    ),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_rule_that_can_never_win_is_an_error(name: str) -> None:
    content, pair = CONTRADICTIONS[name]
    report = _check(content)
    assert _found(report, FindingKind.CONTRADICTION) == [pair]
    assert report.errors == 1


@pytest.mark.parametrize(
    "content",
    [
        # a veto with a condition of its own, one for another specialty, or on another part
        _rule("yes", "math", "sum")
        + _rule("no", "math", "sum", "veto = true\nrequires = ['m']")
        + _rule("m", None, "poem"),
        _rule("yes", "math", "sum") + _rule("no", "code", "sum", "veto = true"),
        _rule("yes", "math", "sum") + _rule("no", "math", "sum", "veto = true\npart = 'system'"),
        _rule("yes", "math", "sum") + _rule("no", "math", "sum", "veto = true\ncaseless = false"),
    ],
)
def test_what_can_win_is_no_contradiction(content: str) -> None:
    assert _check(content).errors == 0


def test_identical_patterns_are_told_whatever_the_specialty() -> None:
    report = _check(_rule("a", "math", "sum"), _rule("b", "math", "sum"), _rule("c", "code", "sum"))
    assert _found(report, FindingKind.IDENTICAL) == [("b", "a")]
    assert _found(report, FindingKind.CONFLICT) == [("c", "a")]
    assert report.errors == 0


def test_companions_tell_identical_patterns_apart() -> None:
    report = _check(
        _rule("m", None, "python"),
        _rule("a", "math", "sum", "excludes = ['m']"),
        _rule("b", "code", "sum", "requires = ['m']"),
    )
    assert report.findings == ()


def test_weights_that_can_never_decide_are_told() -> None:
    report = _check(_rule("a", "math", "sum", "weight = 0.3"), _rule("b", "code", "x", "weight=0"))
    assert [
        each.message.split(":")[0] for each in report.findings if each.kind is FindingKind.WEAK
    ] == [
        "has weight 0, which adds nothing",
        "'math' can never win",
        "'code' can never win",
    ]


ROWS = (
    *(("sum of apples", "math"),) * 6,
    *(("loop over a sum", "code"),) * 3,
    ("sum up this story", "chat"),
    ("hello", "chat"),
)


def test_figures_are_counted_per_rule_and_overall() -> None:
    report = _check(_rule("sum", "math", r"\bsum\b"), _rule("loop", "code", "loop"), rows=ROWS)
    total, loop = report.figures
    assert (total.fired, total.counted, total.right, total.decided) == (10, 10, 6, 7)
    assert total.precision == pytest.approx(0.6)
    assert total.lower == pytest.approx(lower_bound(6, 10))
    assert total.coverage == pytest.approx(10 / 11)
    assert total.wrong_example == "sum up this story"
    assert (loop.counted, loop.decided, loop.needed) == (3, 0, 3)
    assert report.overall is not None
    assert (report.overall.decided, report.overall.right) == (7, 6)
    assert report.coverage == pytest.approx(7 / 11)


def test_rules_that_never_fire_or_never_count_are_named() -> None:
    report = _check(
        _rule("sum", "math", "sum", "requires = ['never']"),
        _rule("never", None, "xyzzy"),
        _rule("system", "code", "xyzzy", "part = 'system'"),  # the file has no system text
        rows=ROWS,
    )
    assert _found(report, FindingKind.NEVER_FIRES) == [("never", "")]
    assert _found(report, FindingKind.NEVER_COUNTS) == [("sum", "")]


def test_a_rule_in_the_shadow_of_another_is_named() -> None:
    report = _check(
        _rule("any", "math", "sum|loop"),
        _rule("some", "math", "sum of", "weight = 0.9"),
        _rule("strong", "code", "over a sum"),
        rows=ROWS,
    )
    assert _found(report, FindingKind.SHADOWED) == [("some", "any")]
    (finding,) = (each for each in report.findings if each.kind is FindingKind.SHADOWED)
    assert finding.count == 6


def test_of_two_that_always_fire_together_only_the_later_is_in_shadow() -> None:
    report = _check(_rule("a", "math", "sum of"), _rule("b", "math", "of apples"), rows=ROWS)
    assert _found(report, FindingKind.SHADOWED) == [("b", "a")]


def test_conflicts_are_counted_with_an_example_and_how_they_ended() -> None:
    report = _check(
        _rule("sum", "math", "sum", "weight = 0.5"), _rule("loop", "code", "loop"), rows=ROWS
    )
    (finding,) = (each for each in report.findings if each.kind is FindingKind.CONFLICT)
    assert (finding.rule, finding.other, finding.count) == ("sum", "loop", 3)
    assert finding.example == "loop over a sum"
    assert "3 decided rightly, 0 wrongly, 0 left open" in finding.message


def test_a_veto_that_settles_a_conflict_leaves_none() -> None:
    report = _check(
        _rule("sum", "math", "sum"),
        _rule("loop", "code", "loop"),
        _rule("no", "math", "loop", "veto = true"),
        rows=ROWS,
    )
    assert _found(report, FindingKind.CONFLICT) == []
    assert report.figures[2].precision == 1.0  # never was the label math


def test_the_wilson_bound_is_the_textbooks() -> None:
    # 8 of 10: (0.490, 0.943) in Newcombe, Statistics in Medicine 17 (1998), 857-872
    assert lower_bound(8, 10) == pytest.approx(0.4902, abs=1e-4)
    assert lower_bound(10, 10) == pytest.approx(0.7225, abs=1e-4)
    assert lower_bound(0, 10) == 0.0
    assert lower_bound(0, 0) == 0.0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no rows"),
        (b'{"prompt": "a"}\n', "line 1: needs"),
        (b'{"prompt": "a", "label": "math"}\nnonsense\n', "line 2: needs"),
        (b'{"prompt": "a", "label": "No Such"}\n', "line 1: label 'No Such'"),
        (b'{"prompt": 3, "label": "math"}\n', "line 1: needs"),
    ],
)
def test_a_labelled_file_that_is_wrong_is_refused_by_line(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        read_labelled(path)


def _file(tmp_path: Path, *rules: str) -> str:
    path = tmp_path / "rules.toml"
    path.write_text("".join(rules))
    return str(path)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path / "state"))


def test_the_exit_code_is_0_when_clean_and_1_for_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", _file(tmp_path, _rule("a", "math", "sum"))]) == 0
    assert "nothing found" in capsys.readouterr().out
    assert main(["check", _file(tmp_path, _rule("a", "math", "a(?=b)"))]) == 1
    assert "1 error, 0 remarks" in capsys.readouterr().out
    identical = _file(tmp_path, _rule("a", "math", "sum"), _rule("b", "math", "sum"))
    assert main(["check", identical]) == 0
    assert main(["check", "--strict", identical]) == 1


def test_a_file_that_is_not_there_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path / "none.toml")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_json_has_findings_and_figures(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": p, "label": q}) + "\n" for p, q in ROWS))
    path = _file(tmp_path, _rule("sum", "math", "sum"), _rule("never", "code", "xyzzy"))
    assert main(["check", path, "--json", "--data", str(rows), "--same-as", "code=math"]) == 0
    data = json.loads(capfdbinary.readouterr().out)
    assert data["errors"] == 0
    assert data["overall"]["right"] == 9
    assert [each["kind"] for each in data["findings"]] == ["never fires"]
    assert [each["name"] for each in data["figures"]] == ["sum", "never"]


@given(st.binary(max_size=300))
def test_no_bytes_make_the_check_raise(content: bytes) -> None:
    check(content)


LETTERS = "abc"
NAMES = ("r0", "r1", "r2", "r3")
DRAFTS = st.lists(
    st.builds(
        Rule,
        name=st.just("drafted"),
        specialty=st.sampled_from([Specialty("math"), Specialty("code")]),
        patterns=st.lists(st.sampled_from(LETTERS), min_size=1, max_size=2, unique=True).map(tuple),
        veto=st.booleans(),
        requires=st.lists(st.sampled_from(NAMES), max_size=1).map(tuple),
        excludes=st.lists(st.sampled_from(NAMES), max_size=1).map(tuple),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(DRAFTS)
def test_what_is_called_a_contradiction_never_wins_on_any_text(drafts: list[Rule]) -> None:
    known = set(NAMES[: len(drafts)])
    rules = tuple(
        replace(
            draft,
            name=name,
            requires=tuple({*draft.requires} & known - {name}),
            excludes=tuple(({*draft.excludes} & known) - {name, *draft.requires}),
        )
        for name, draft in zip(NAMES, drafts, strict=False)
    )
    whole = RuleSet(version="", rules=rules, threshold=0.0, margin=0.0)
    told = [each for each in findings(whole) if each.kind is FindingKind.CONTRADICTION]
    stage = RulesStage(whole)
    for size in range(len(LETTERS) + 1):
        for text in combinations(LETTERS, size):
            fired = stage.fired(features(" ".join(text)))
            said = stage.weigh(fired)
            counting = {rules[number].name for number in stage.counting(fired)}
            for each in told:
                assert not (isinstance(said, Verdict) and said.rule == each.rule)
                if "never count" in each.message:
                    assert each.rule not in counting

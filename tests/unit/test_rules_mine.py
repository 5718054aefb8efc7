"""Mining proposes what discriminates, says how sure that is, and writes nothing."""

from __future__ import annotations

import json
import random
import tomllib
from pathlib import Path

import msgspec
import pytest

from orchestrator.router.base import Verdict
from orchestrator.router.rule_file import Rule, RuleSet, parse
from orchestrator.router.rules import RulesStage
from orchestrator.rules.__main__ import main
from orchestrator.rules.decision_log import LoggedDecision
from orchestrator.rules.labelled import Labelled, features
from orchestrator.rules.mine import Mined, Wishes, mine
from orchestrator.rules.phrases import GAP, NUMBER, START, pattern_of, phrases_of, words_of
from orchestrator.rules.proposals import as_toml
from orchestrator.rules.redaction import redact

NO_RULES = RuleSet(version="none")
WISHES = Wishes(support=8)
TOPICS = ("apples", "boxes", "the budget", "Ruritania", "a train", "my garden", "Jane", "rain")


def _logged(
    prompt: str, specialty: str, stage: str = "classifier", confidence: float = 0.95
) -> LoggedDecision:
    return LoggedDecision(
        time=0.0,
        prompt=redact(prompt),
        redacted=True,
        characters=len(prompt),
        turn=1,
        specialty=specialty,
        stage=stage,
        rule=None,
        confidence=confidence,
    )


def _prompts(seed: int = 1, each: int = 60) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    made: list[tuple[str, str]] = []
    for number in range(each):
        topic, other = chance.choice(TOPICS), chance.choice(TOPICS)
        made += [
            (f"how many {topic} are left of {number} {other}", "math"),
            (f"write a function about {topic} and {other} {'now' * (number % 3)}", "code"),
            (f"tell me something about {topic} or {number} {other}", "chat"),
        ]
    return made


def _log(*extra: LoggedDecision) -> list[LoggedDecision]:
    return [*(_logged(*pair) for pair in _prompts()), *extra]


def test_what_discriminates_is_proposed_and_the_proposals_decide() -> None:
    found = mine(_log(), NO_RULES, WISHES)
    assert {each.rule.specialty for each in found.proposals} == {"math", "code", "chat"}
    stage = RulesStage(RuleSet(version="", rules=tuple(each.rule for each in found.proposals)))
    for prompt, label in _prompts(seed=2):  # in the clear, though the log was redacted
        said = stage.decide(features(prompt))
        assert isinstance(said, Verdict)
        assert said.specialty == label


def test_proposals_do_not_repeat_one_another() -> None:
    found = mine(_log(), NO_RULES, WISHES)
    assert len(found.proposals) == 3
    assert sum(each.new for each in found.proposals) <= found.open


def test_figures_are_honest_about_what_was_held_out() -> None:
    found = mine(_log(), NO_RULES, WISHES)
    for each in found.proposals:
        assert 0 < each.held_out.made < each.logged.made
        assert each.logged.lower < 1.0
        assert each.rule.weight <= each.logged.lower
        assert 1 <= len(each.examples) <= 3


def test_what_rules_decide_already_is_not_proposed_again() -> None:
    rules = RuleSet(
        version="x", rules=(Rule(name="f", specialty="code", patterns=(r"write a function",)),)
    )
    found = mine(_log(), rules, WISHES)
    assert {each.rule.specialty for each in found.proposals} == {"math", "chat"}


def test_a_phrase_that_does_not_discriminate_is_not_proposed() -> None:
    log = [
        _logged(f"please look at {topic} number {n}", label)
        for n in range(60)
        for topic, label in (("this", "math"), ("this", "code"))
    ]
    assert mine(log, NO_RULES, WISHES).proposals == ()


def test_decisions_of_the_rules_are_counter_examples() -> None:
    against = [
        _logged(f"how many {topic} are left of {n} {topic}", "logic", stage="rules")
        for n in range(40)
        for topic in TOPICS
    ]
    found = mine(_log(*against), NO_RULES, WISHES)
    assert {each.rule.specialty for each in found.proposals} == {"code", "chat"}


@pytest.mark.parametrize(
    ("stage", "confidence"), [("fallback", 0.0), ("conversation", 0.0), ("classifier", 0.5)]
)
def test_only_confident_decisions_of_the_slower_stages_are_mined(
    stage: str, confidence: float
) -> None:
    log = [_logged(prompt, label, stage, confidence) for prompt, label in _prompts()]
    assert mine(log, NO_RULES, WISHES) == Mined(decisions=0, open=0)


def test_labelled_prompts_measure_each_proposal_and_all_together() -> None:
    data = [Labelled(prompt, label) for prompt, label in _prompts(seed=3)]
    found = mine(_log(), NO_RULES, WISHES, data)
    assert found.before is not None
    assert found.after is not None
    assert (found.before.decided, found.after.decided) == (0, len(data))
    assert found.after.precision == 1.0
    assert all(each.data is not None and each.data.precision == 1.0 for each in found.proposals)


def test_the_toml_is_a_rules_file_with_figures_in_its_comments() -> None:
    found = mine(_log(), NO_RULES, WISHES)
    text = as_toml(found, "decisions.jsonl")
    rules = parse(text.encode())
    assert rules.rules == tuple(each.rule for each in found.proposals)
    assert "right (at least 0." in text
    assert "on the half held out" in text
    assert len(tomllib.loads(text)["rules"]) == 3


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    first = mine(_log(), NO_RULES, WISHES).proposals[0].rule
    other = Rule(name=first.name, specialty="logic", patterns=("xyzzy",))
    again = mine(_log(), RuleSet(version="x", rules=(other,)), WISHES).proposals[0].rule
    assert again.name == f"{first.name}-2"


def test_words_are_lower_case_and_masks_and_borders_are_unseen() -> None:
    assert words_of("What is 3.5 Xxxx's? Don't, please") == [
        START, "what", "is", NUMBER, "", "", "don't", "please",
    ]  # fmt: skip


def test_phrases_are_runs_and_gaps_of_frequent_words() -> None:
    words = words_of("convert 15 xxxxx to feet")
    found = phrases_of(words, {START, "convert", NUMBER, "to"})
    assert (START, "convert", NUMBER) in found
    assert (NUMBER, GAP, "to") in found
    assert ("convert", NUMBER, GAP, "to") in found
    assert (START,) not in found
    assert not any("feet" in phrase for phrase in found)


@pytest.mark.parametrize(
    ("phrase", "text", "fires"),
    [
        ((START, "convert", NUMBER, GAP, "to"), "Convert 1,500 nautical miles to feet", True),
        ((START, "convert", NUMBER, GAP, "to"), "please convert 15 miles to feet", False),
        (("how", GAP, "many"), "how very many", True),
        (("how", GAP, "many"), "how many", False),
        (("don't", "know"), "I DON'T know", True),
        (("is", "the"), "this then", False),
    ],
)
def test_a_phrase_becomes_a_pattern(phrase: tuple[str, ...], text: str, fires: bool) -> None:
    rule = Rule(name="r", specialty="math", patterns=(pattern_of(phrase),))
    stage = RulesStage(RuleSet(version="x", rules=(rule,)))
    assert bool(stage.fired(features(text))) is fires


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path / "state"))


def test_the_command_prints_toml_and_leaves_the_rules_file_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, rules = tmp_path / "log.jsonl", tmp_path / "rules.toml"
    log.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in _log()) + b"broken\n")
    rules.write_text("")
    assert main(["mine", str(log), "--rules", str(rules), "--support", "8"]) == 0
    out, said = capsys.readouterr()
    assert len(parse(out.encode()).rules) == 3
    assert "1 lines could not be read" in " ".join(said.split())
    assert rules.read_text() == ""


def test_the_command_as_json(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    log, rules = tmp_path / "log.jsonl", tmp_path / "rules.toml"
    log.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in _log()))
    rules.write_text("")
    assert main(["mine", str(log), "--rules", str(rules), "--support", "8", "--json"]) == 0
    data = json.loads(capfdbinary.readouterr().out)
    assert len(data["proposals"]) == 3
    assert data["proposals"][0]["logged"]["made"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--support", "0"], "--support must be at least 1"),
        (["--precision", "2"], "--precision must be 0 to 1"),
        (["--same-as", "units"], "write LABEL=SPECIALTY"),
    ],
)
def test_a_wrong_flag_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(msgspec.json.encode(_logged("what is this", "math")) + b"\n")
    rules = tmp_path / "rules.toml"
    rules.write_text("")
    assert main(["mine", str(log), "--rules", str(rules), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_log_without_decisions_says_how_to_get_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text("")
    assert main(["mine", str(tmp_path / "log")]) == 2
    assert "router.log.file" in capsys.readouterr().err

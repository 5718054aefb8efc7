"""Compiled rules on disk: found again, never trusted when damaged, never a reason to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.types import Message, Role
from orchestrator.router.base import Features, Verdict
from orchestrator.router.compiled import KEPT, CompiledRules
from orchestrator.router.rule_file import RuleSet, parse
from orchestrator.router.rules import RulesStage


def rules(word: str) -> RuleSet:
    return parse(
        f'[[rules]]\nname = "one"\nspecialty = "math"\npattern = "{word}"\n'.encode(), where="test"
    )


def decide(stage: RulesStage, text: str) -> str | None:
    features = Features.of((Message.of(Role.USER, text),))
    match stage.decide(features):
        case Verdict(specialty=specialty):
            return specialty
        case _:
            return None


def test_what_was_compiled_is_found_again_and_decides_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = CompiledRules(tmp_path / "made" / "on" / "demand")
    first = RulesStage(rules("apples"), cache=cache)
    monkeypatch.setattr("orchestrator.router.rules._compile", pytest.fail)
    second = RulesStage(rules("apples"), cache=cache)
    for stage in (first, second):
        assert decide(stage, "three apples") == "math"
        assert decide(stage, "three pears") is None


def test_other_rules_are_never_answered_from_the_cache(tmp_path: Path) -> None:
    cache = CompiledRules(tmp_path)
    RulesStage(rules("apples"), cache=cache)
    assert decide(RulesStage(rules("pears"), cache=cache), "three pears") == "math"


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 4096, None])
def test_a_damaged_file_is_compiled_anew(tmp_path: Path, damage: bytes | None) -> None:
    cache = CompiledRules(tmp_path)
    RulesStage(rules("apples"), cache=cache)
    (kept,) = tmp_path.glob("*.hsdb")
    whole = kept.read_bytes()
    kept.write_bytes(damage if damage is not None else whole[:-1] + b"!")
    assert decide(RulesStage(rules("apples"), cache=cache), "three apples") == "math"
    assert kept.read_bytes() == whole


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert decide(RulesStage(rules("apples"), cache=CompiledRules(blocked)), "apples") == "math"


def test_old_files_are_removed(tmp_path: Path) -> None:
    cache = CompiledRules(tmp_path)
    for number in range(KEPT + 3):
        RulesStage(rules(f"word{number}"), cache=cache)
    assert len(list(tmp_path.iterdir())) == KEPT

"""Counted repeats of wide classes, which would make the engine compile for minutes."""

from __future__ import annotations

import json

import pytest

from mesh.errors import RuleError
from orchestrator.router.pattern_check import check_pattern
from orchestrator.router.reload import starter_rules
from orchestrator.router.rule_file import parse
from orchestrator.router.rules import RulesStage


def _rule(pattern: str, more: str = "") -> bytes:
    quoted = json.dumps(pattern)  # a TOML basic string takes what JSON does
    return f"[[rules]]\nname = 'r'\nspecialty = 'math'\npattern = {quoted}\n{more}\n".encode()


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (r"foo.{0,400}bar", ". at position 4, repeated up to 400 times by {0,400}"),
        (r"foo.{400}bar", "up to 400 times by {400}"),
        (r"foo.{400,}bar", "up to 400 times by {400,}"),
        (r"foo[^?]{0,200}bar", "[^?] at position 4"),
        (r"foo[^]?]{0,200}bar", "[^]?] at position 4"),
        (r"foo[\s\S]{0,200}bar", r"[\s\S] at position 4"),
        (r"foo\D{0,200}bar", r"\D at position 4"),
        (r"foo[à-ü]{0,200}bar", "[à-ü] at position 4"),
        (r"foo(.{0,10}){30}bar", ". at position 5, repeated up to 300 times by {30}"),
        (r"foo(?:a|(.|b)){0,200}bar", "up to 200 times"),
        (r"foo[ -~]{0,1000}bar", "[ -~] at position 4, repeated up to 1,000 times"),
        (r"^foo.{0,2000}bar", "at most 1,000"),
        (r"^foo|is.{0,400}bar", "at most 150"),
        (r"(?m)^foo.{0,400}bar", "at most 150"),
    ],
)
def test_a_long_repeat_of_a_wide_class_is_refused_before_the_engine_sees_it(
    pattern: str, what: str
) -> None:
    with pytest.raises(RuleError) as caught:
        parse(_rule(pattern))
    assert "rule 1 'r': " in caught.value.message
    assert what in caught.value.message
    assert "write at most" in caught.value.message


def test_with_multiline_a_leading_caret_is_no_start_of_the_text() -> None:
    assert parse(_rule("^foo.{0,400}bar"))
    with pytest.raises(RuleError, match="at most 150"):
        parse(_rule("^foo.{0,400}bar", "multiline = true"))


@pytest.mark.parametrize(
    "pattern",
    [
        r"foo.{0,100}bar", r"foo.*bar", r"(?s)^.{150}", r"(?s)^.{0,400}foo", r"foo\w{0,400}bar",
        r"^(foo|bar).{0,400}baz", r"^[|].{0,400}baz", r"foo[ -~]{0,250}bar", r"foo\.{0,400}bar",
        r"foo\Q.{0,400}\Ebar", r"foo[.]{0,400}bar", r"(foo.*){0,3}bar",
        r"foo.{0,60}(bar.{0,60}){2}x",
        r"\x{2e}{0,400}bar", r"foo(?:\d ){0,300}bar", r"[^a].{0,9}x{0,400}y",
    ],
)  # fmt: skip
def test_what_the_engine_compiles_at_once_is_accepted(pattern: str) -> None:
    RulesStage(parse(_rule(pattern)))


def test_no_starter_rule_has_a_long_repeat() -> None:
    for rule in parse(starter_rules().read_bytes()).rules:
        for pattern in rule.patterns:
            said = check_pattern(
                pattern, unicode=rule.unicode, limit=4096, multiline=rule.multiline
            )
            assert said == ""

"""`mesh rules`: what its flags become. What the commands do is tested where it is done."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mesh.cli import rules_fleet
from mesh.cli.main import cli
from mesh.cli.rules_replaced import InUse, allowed, replaced
from mesh.errors import ConfigError
from mesh.fleet.records import rules_version
from mesh.settings.shipped import shipped


class _Became(Exception):
    """Stands for `execv`, which does not return."""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    command: list[str] = []

    def execv(_path: str, arguments: list[str]) -> None:
        command.extend(arguments)
        raise _Became

    monkeypatch.setattr(os, "execv", execv)
    return command


def _run(*arguments: str) -> int:
    return CliRunner().invoke(cli, ["rules", *arguments]).exit_code


def test_check_becomes_the_orchestrators_tool(became: list[str], tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("")
    _run("check", "r.toml", "--data", str(data), "--same-as", "units=math", "--strict", "--json")
    assert became[:4] == [sys.executable, "-P", "-m", "orchestrator.rules"]
    assert became[4:] == [
        *("check", "--data", str(data), "--same-as", "units=math"),
        *("--strict", "--json", "--", "r.toml"),
    ]


def test_mine_passes_on_only_what_was_said(became: list[str], tmp_path: Path) -> None:
    log = tmp_path / "-log"
    log.write_text("")
    _run("mine", "--stage", "judge", "--stage", "classifier", "--support", "3", "--", str(log))
    assert became[4:] == [
        *("mine", "--stage", "judge", "--stage", "classifier", "--support", "3", "--", str(log)),
    ]


@pytest.mark.parametrize("content", ["", "# none\n", "fallback = 'chat'\n", "rules = []\n"])
def test_no_rules_at_all_are_not_pushed_by_a_slip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    pushed: list[bytes] = []

    async def push_rules(given: bytes, *_: object) -> int:
        pushed.append(given)
        return 0

    async def rules_in_use(*_: object) -> InUse:
        return InUse(content=None, versions=frozenset(), most=None)

    monkeypatch.setattr(rules_fleet, "push_rules", push_rules)
    monkeypatch.setattr(rules_fleet, "rules_in_use", rules_in_use)
    path = tmp_path / "r.toml"
    path.write_text(content)
    # The check is a process of its own, whose words go where this one's standard error goes.
    assert _run("push", str(path)) == 2
    assert pushed == []
    assert _run("push", "--empty", str(path)) == 0
    assert pushed == [content.encode() or b"rules = []\n"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "r.toml", "--data", "nowhere.jsonl"],
        ["mine", "nowhere.jsonl"],
        ["push", "nowhere.toml"],
        ["show", "--etcd", "nowhere"],
        ["fly"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(became: list[str], arguments: list[str]) -> None:
    assert _run(*arguments) == 2
    assert became == []


def test_every_command_has_help() -> None:
    for name in ("check", "mine", "push", "pull", "drop", "show"):
        result = CliRunner().invoke(cli, ["rules", name, "--help"])
        assert result.exit_code == 0
        assert result.output.startswith("Usage: ")


def _some(*names: str) -> bytes:
    return "".join(
        f"[[rules]]\nname = '{name}'\nspecialty = 'math'\npattern = '{name}'\n" for name in names
    ).encode()


STARTER = shipped("rules.toml").read_bytes()
COUNT = STARTER.count(b"[[rules]]")


def _use(content: bytes | None = None, *versions: str, most: int | None = None) -> InUse:
    return InUse(content=content, versions=frozenset(versions), most=most)


@pytest.mark.parametrize(
    ("use", "content", "words", "removes"),
    [
        (_use(_some("a", "b", "c")), _some("a", "d"), "2 removed (b, c), 1 new", True),
        (_use(_some("a")), _some("a", "b"), "2 rules take the place of 1: 1 new", False),
        (_use(_some("a")), _some("a"), "1 rule takes the place of 1: the same ones", False),
        (_use(_some("a")), _some("a").replace(b"math", b"code"), "1 changed", False),
        (_use(b"rules = []"), _some("a"), "the place of 0: 1 new", False),
        (_use(_some(*"abcdefgh")), b"rules = []", "(a, b, c, d, e and 3 more)", True),
        (_use(None, rules_version(STARTER)), _some("a"), f"of {COUNT}: {COUNT} removed (", True),
        (_use(None, "f00", most=7), _some("a"), "of 7, of an orchestrator's own file", True),
        (_use(None, "f00"), _some("a"), "of unknown number", True),
        (_use(None, "f00", most=0), _some("a"), "of 0, of an orchestrator's own file", False),
        (_use(b"a = [[", "f00", most=7), _some("a"), "of 7, of an", True),
    ],
)
def test_what_a_push_replaces_is_said_and_never_removed_without_a_word(
    use: InUse,
    content: bytes,
    words: str,
    removes: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change = replaced(use, content)
    assert words in change.words()
    assert change.removes is removes
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    allowed(use, content, yes=True)
    assert words in capsys.readouterr().err
    if removes:
        with pytest.raises(ConfigError, match=r"nothing was changed.*--yes"):
            allowed(use, content, yes=False)
    else:
        allowed(use, content, yes=False)

"""`mesh ask` as people type it: words without quotes, files, pipes, what was said before."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from mesh.cli.chat.saved import STOPPED, SavedChat, Turn
from mesh.cli.chat.store import ChatStore
from mesh.cli.main import cli
from mesh.cli.words import WordsCommand, apart
from tests.fake_mesh import ANSWER, Broken, FakeMesh, decided, serving

VALUED = {"--system", "--seed", "-f", "--file", "--stop"}
OPTIONAL = ("-c", "--continue")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def ask(mesh: FakeMesh, *arguments: str, **options: Any) -> Result:
    with serving(mesh):
        return CliRunner().invoke(cli, ["ask", "--endpoint", mesh.endpoint, *arguments], **options)


def asked(*arguments: str, **options: Any) -> list[tuple[str, str]]:
    """What reached the mesh."""
    mesh = FakeMesh()
    result = ask(mesh, *arguments, **options)
    assert result.exit_code == 0, result.stderr
    return said(mesh)


def said(mesh: FakeMesh) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in mesh.requests[-1].messages]


@pytest.mark.parametrize(
    ("line", "options", "words"),
    [
        ("what is 17 + 25", "", "what is 17 + 25"),
        ("--seed 1 what is 17", "--seed 1", "what is 17"),
        ("what --seed 1 is --json 17", "--seed 1 --json", "what is 17"),
        ("what is 5 -3", "", "what is 5 -3"),
        ("-3 + 5", "", "-3 + 5"),
        ("a -> b --> c --- d - e", "", "a -> b --> c --- d - e"),
        ("--seed -3 x", "--seed -3", "x"),
        ("--seed=-3 x", "--seed=-3", "x"),
        ("-- --seed -c -- x", "", "--seed -c -- x"),
        ("x -- --json", "", "x --json"),
        ("--stop -- x", "--stop --", "x"),
        ("-fnotes.md x", "-fnotes.md", "x"),
        ("--sytem x", "--sytem", "x"),  # which is then refused
        ("x -v", "-v", "x"),
    ],
)
def test_options_and_words_are_told_apart(line: str, options: str, words: str) -> None:
    assert apart(line.split(" "), VALUED, OPTIONAL) == (options.split(), words.split(" "))


@pytest.mark.parametrize("text", ["- a\n- b", "--amend is what?", "-v says what", "-1 + 2"])
def test_a_text_in_quotes_that_begins_with_a_dash_is_no_option(text: str) -> None:
    assert apart([text], VALUED, OPTIONAL) == ([], [text])


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (["-c", "and", "in", "June?"], ["-c", ""], ["and", "in", "June?"]),
        (["-c", "and in June?"], ["-c", ""], ["and in June?"]),
        (["-c", "trip", "and in June?"], ["-c", "trip"], ["and in June?"]),
        (["-c", "kept", "and", "then"], ["-c", "kept"], ["and", "then"]),
        (["-c=trip", "thanks"], ["-c", "trip"], ["thanks"]),
        (["--continue=trip", "thanks"], ["--continue", "trip"], ["thanks"]),
        (["-ctrip", "thanks"], ["-ctrip"], ["thanks"]),
        (["thanks", "-c"], ["-c", ""], ["thanks"]),
        (["-c", "--json", "thanks"], ["-c", "", "--json"], ["thanks"]),
        (["-c", "-", "a b"], ["-c", ""], ["-", "a b"]),
    ],
)
def test_what_follows_minus_c_is_a_name_where_it_can_only_be_one(
    arguments: list[str], options: list[str], words: list[str]
) -> None:
    assert apart(arguments, VALUED, OPTIONAL, lambda word: word == "kept") == (options, words)


def test_a_short_option_has_its_value_right_behind_it_whatever_that_is() -> None:
    assert apart(["-fmy notes.md", "x"], VALUED, OPTIONAL) == (["-fmy notes.md"], ["x"])


def test_a_mistake_is_told_with_the_command_that_it_was_made_in() -> None:
    with pytest.raises(click.NoSuchOption) as raised:
        WordsCommand("ask").make_context("ask", ["hi", "--sytem"])
    assert raised.value.ctx is not None
    assert raised.value.ctx.info_name == "ask"


def test_words_need_no_quotes() -> None:
    assert asked("what", "is", "17", "+", "25", "--seed", "1") == [("user", "what is 17 + 25")]
    assert asked("--", "--help", "me") == [("user", "--help me")]
    assert asked("what is 5", "-3") == [("user", "what is 5 -3")]


def test_a_mistyped_option_is_named_with_its_remedy() -> None:
    result = CliRunner().invoke(cli, ["ask", "hi", "--sytem", "x"])
    assert result.exit_code == 2
    assert "--sytem" in result.stderr
    assert "did you mean '--system'?" in result.stderr
    assert "after --" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_files_go_below_the_prompt_under_their_names(tmp_path: Path) -> None:
    one, two = tmp_path / "a.py", tmp_path / "b.md"
    one.write_text("print(1)\n", encoding="utf-8")
    two.write_bytes("\ufeffzwölf".encode())
    files = ["-f", str(one), f"-f{two}"]
    below = "a.py:\n```\nprint(1)\n```\n\nb.md:\n```\nzwölf\n```"
    assert asked("review", "this", *files) == [("user", f"review this\n\n{below}")]
    assert asked(*files) == [("user", below)]
    assert asked(*files, input="and be brief") == [("user", f"and be brief\n\n{below}")]
    assert asked("review", *files, input="piped") == [("user", f"review\n\npiped\n\n{below}")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x89PNG\r\n", "is not UTF-8 text (byte 0x89 at 0)"),
        (b"ab\0c", "is binary (a zero byte at 2)"),
        (b"x" * (4 * 2**20 + 1), "is over 4 MiB"),
        (b" \n", "is empty"),
    ],
)
def test_a_file_that_is_no_prompt_is_refused_with_the_reason(
    content: bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "thing"
    path.write_bytes(content)
    mesh = FakeMesh()
    result = ask(mesh, "look", "-f", str(path))
    assert (result.exit_code, mesh.requests) == (2, [])
    assert f"{path} {says}" in result.stderr


def test_a_folder_and_nothing_at_all_are_refused(tmp_path: Path) -> None:
    assert "is a folder" in ask(FakeMesh(), "look", "-f", str(tmp_path)).stderr
    absent = ask(FakeMesh(), "look", "-f", str(tmp_path / "none"))
    assert (absent.exit_code, "No such file" in absent.stderr) == (2, True)


@pytest.mark.parametrize("piped", [b"\x89PNG\r\n\x1a\n", b"ab\0cd"])
def test_a_piped_binary_is_one_sentence(piped: bytes) -> None:
    mesh = FakeMesh()
    result = ask(mesh, "look", input=piped)
    assert (result.exit_code, mesh.requests) == (2, [])
    assert result.stderr.startswith("mesh: standard input is ")
    assert len(result.stderr.splitlines()) == 1


def test_history_stands_before_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    told = [{"role": "user", "content": "12 + 12?"}, {"role": "assistant", "content": "24"}]
    path.write_text(json.dumps(told), encoding="utf-8")
    before = [("user", "12 + 12?"), ("assistant", "24")]
    assert asked("and twice?", "--history", str(path)) == [*before, ("user", "and twice?")]
    system = asked("x", "--history", str(path), "--system", "brief")
    assert system == [("system", "brief"), *before, ("user", "x")]
    nothing = ask(FakeMesh(), "--history", str(path), input="")
    assert (nothing.exit_code, "is empty" in nothing.stderr) == (2, True)


def test_a_history_that_ends_with_a_question_is_asked_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text(json.dumps({"messages": [{"role": "user", "content": "12?"}]}), "utf-8")
    assert asked("--history", str(path), input="") == [("user", "12?")]


def test_a_history_with_its_own_system_text_takes_no_other(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text('[{"role": "system", "content": "be brief"}]', encoding="utf-8")
    result = ask(FakeMesh(), "x", "--history", str(path), "--system", "be long")
    assert (result.exit_code, "leave out --system" in result.stderr) == (2, True)


def test_history_and_continue_are_one_too_many(tmp_path: Path) -> None:
    assert ask(FakeMesh(), "-c", "--history", "x", "hi").exit_code == 2


def test_a_conversation_goes_on_and_is_added_to(state: Path) -> None:
    mesh = FakeMesh()
    first = ask(mesh, "-c", "What", "is", "40 + 2?", "--system", "brief")
    assert first.stderr.splitlines()[-1] == "first turn of the conversation 'what-is-40-2'"
    second = ask(mesh, "-c", "And once more?")
    assert second.stdout == "It is 42.\n"
    assert second.stderr.splitlines()[-1] == "turn 2 of the conversation 'what-is-40-2'"
    assert said(mesh) == [
        ("system", "brief"),
        ("user", "What is 40 + 2?"),
        ("assistant", "It is 42."),
        ("user", "And once more?"),
    ]
    kept = ChatStore(state / "chats").load("what-is-40-2")
    assert [turn.prompt for turn in kept.turns] == ["What is 40 + 2?", "And once more?"]
    assert (kept.turns[1].node, kept.turns[1].ended) == ("math", "stop")


def keep(state: Path, name: str, **fields: Any) -> ChatStore:
    store = ChatStore(state / "chats")
    turn = Turn(prompt="hi", answer="hello", ended=STOPPED, asked=1.0)
    store.save(SavedChat(name=name, created=1.0, changed=1.0, turns=(turn,), **fields))
    return store


def test_a_named_conversation_keeps_who_answers_it(state: Path) -> None:
    keep(state, "trip", specialty="math")
    keep(state, "later")
    os.utime(state / "chats" / "trip.json", (1, 1))
    mesh = FakeMesh()
    ask(mesh, "-c", "trip", "and", "now?")
    assert mesh.requests[-1].specialty == "math"
    assert said(mesh)[-1] == ("user", "and now?")
    ask(mesh, "-c=trip", "and now?", "--model", "math")
    assert (mesh.requests[-1].specialty, mesh.requests[-1].model) == ("", "math")
    assert len(said(mesh)) == 5


def test_a_conversation_that_is_not_there_is_an_error_and_asks_nothing(state: Path) -> None:
    mesh = FakeMesh()
    result = ask(mesh, "-c", "trip", "and in June?")
    assert (result.exit_code, mesh.requests) == (2, [])
    assert "there is no conversation 'trip'" in result.stderr


def test_a_conversation_that_is_open_elsewhere_is_not_added_to(state: Path) -> None:
    store = keep(state, "trip")
    with store.held("trip"):
        result = ask(FakeMesh(), "-c", "trip", "and now?")
    assert (result.exit_code, "is open elsewhere" in result.stderr) == (2, True)


def test_an_answer_that_breaks_is_not_kept(state: Path) -> None:
    store = keep(state, "trip")
    broken = FakeMesh((*ANSWER[:3], Broken("node_lost", "node math was lost")))
    result = ask(broken, "-c", "trip", "and now?", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout.splitlines()[-1])["event"] == "error"
    assert len(store.load("trip").turns) == 1
    assert ask(FakeMesh(), "-c", "trip", "again").exit_code == 0  # nothing is left held


def test_json_says_nothing_else(state: Path) -> None:
    result = ask(FakeMesh(), "-c", "hi", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert ChatStore(state / "chats").latest() == "hi"


def test_an_unreachable_mesh_is_told_in_json_with_continue_too(state: Path) -> None:
    result = CliRunner().invoke(cli, ["ask", "-c", "--json", "hi", "--endpoint", "127.0.0.1:1"])
    (error,) = (json.loads(line) for line in result.stdout.splitlines())
    assert (error["code"], result.exit_code) == ("unreachable", 4)


def test_nothing_is_kept_without_minus_c(state: Path) -> None:
    ask(FakeMesh((decided(), *ANSWER[1:])), "hi")
    assert not state.exists()


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no file here refuses a read")
def test_a_history_that_opens_and_cannot_be_read_is_a_sentence() -> None:
    result = CliRunner().invoke(cli, ["ask", "--history", "/proc/self/mem", "x"])
    assert "cannot read /proc/self/mem: Input/output error" in result.stderr

"""`mesh chat` without a terminal, against a mesh that a test scripts: each line is a prompt."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mesh.cli.chat.saved import STOPPED, SavedChat, Turn
from mesh.cli.chat.store import ChatStore
from mesh.cli.main import cli
from mesh.validation import MAX_REQUEST_BYTES
from tests.fake_mesh import ANSWER, Broken, FakeMesh, assigned, decided, done, serving, tokens


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path))
    return tmp_path


def chat(mesh: FakeMesh, typed: str | bytes, *arguments: str) -> Result:
    with serving(mesh):
        return CliRunner().invoke(
            cli, ["chat", "--endpoint", mesh.endpoint, *arguments], input=typed
        )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def texts(request: Any) -> list[str]:
    return [message.content for message in request.messages]


def test_lines_are_prompts_of_one_conversation(state: Path) -> None:
    mesh = FakeMesh()
    result = chat(mesh, "What is 40 + 2?\n\nAnd once more?\n")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "It is 42.\nIt is 42.\n", "")
    assert [texts(request) for request in mesh.requests] == [
        ["What is 40 + 2?"],
        ["What is 40 + 2?", "It is 42.", "And once more?"],
    ]
    kept = ChatStore(state / "chats").load("what-is-40-2")
    assert [turn.answer for turn in kept.turns] == ["It is 42.", "It is 42."]
    assert (kept.turns[0].node, kept.turns[0].specialty, kept.turns[0].stage) == (
        "math",
        "math",
        "rules",
    )


def test_what_is_named_goes_with_every_prompt() -> None:
    mesh = FakeMesh()
    chat(mesh, "/system be brief\nhi\n/model math\n/system off\nhi\n", "--specialty", "math")
    first, second = mesh.requests
    assert (texts(first)[0], first.specialty, first.model) == ("be brief", "math", "")
    assert (texts(second)[0], second.specialty, second.model) == ("hi", "", "math")


def test_several_lines_may_be_one_prompt() -> None:
    mesh = FakeMesh()
    chat(mesh, 'one \\\ntwo\n"""\n/three\nfour\n"""\n/exit\nnever\n')
    assert [texts(request)[-1] for request in mesh.requests] == ["one \ntwo", "/three\nfour"]


def test_a_conversation_goes_on_under_its_name(state: Path) -> None:
    mesh = FakeMesh()
    chat(mesh, "hi\n/save talk\n")
    result = chat(mesh, "again\n", "-c", "talk")
    assert "going on with talk (1 turn)" in result.stderr
    chat(mesh, "and again\n", "-c")
    assert texts(mesh.requests[-1]) == ["hi", "It is 42.", "again", "It is 42.", "and again"]
    assert ChatStore(state / "chats").names() == ("talk",)


def test_a_conversation_may_be_loaded_anew(state: Path) -> None:
    mesh = FakeMesh()
    result = chat(mesh, "hi\n/save talk\n/load talk\n/new\nho\n/load talk\nagain\n/load\n")
    assert result.exit_code == 0
    assert texts(mesh.requests[-1]) == ["hi", "It is 42.", "again"]
    assert result.stderr.count("going on with talk") == 2
    assert "/load NAME: talk, ho" in result.stderr


def test_ephemeral_keeps_nothing(state: Path) -> None:
    chat(FakeMesh(), "hi\n", "--ephemeral")
    assert list(state.iterdir()) == []


def test_ephemeral_and_going_on_are_opposites() -> None:
    result = chat(FakeMesh(), "", "-c", "x", "--ephemeral")
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("/sistem x\n", "did you mean /system?"),
        ("/model moth\n", "did you mean math?"),
        ("/file /nowhere\n", "cannot read /nowhere: No such file"),
        ("/load nothing\n", "no conversation 'nothing'"),
        ("/save\n", "nothing to keep yet"),
        (b"\xff\xfe\n", "line 1 of standard input is not valid UTF-8"),
        (b"a\0b\n", "is binary"),
        (b"x" * (MAX_REQUEST_BYTES + 10), "line 1 of standard input is over 4 MiB"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_where_nobody_sits_what_is_wrong_ends_it(typed: str | bytes, says: str) -> None:
    more = "never\n" if isinstance(typed, str) else b"\nnever\n"
    mesh = FakeMesh()
    result = chat(mesh, typed + more)  # type: ignore[operator]
    assert result.exit_code == 2
    assert says in result.stderr
    assert mesh.requests == []


def test_an_error_of_the_mesh_ends_it_with_its_code() -> None:
    mesh = FakeMesh((decided(), Broken("no_candidate", "nobody is there")))
    result = chat(mesh, "hi\nagain\n")
    assert result.exit_code == 3
    assert "nobody is there" in result.stderr
    assert len(mesh.requests) == 1


def test_without_a_mesh_it_says_so_at_once() -> None:
    result = run("chat", "--endpoint", "127.0.0.1:1")
    assert result.exit_code == 4


def test_a_cut_answer_is_never_silent() -> None:
    mesh = FakeMesh((*ANSWER[:-1], done(finish_reason="length")))
    result = chat(mesh, "hi\n")
    assert result.stdout == "It is 42.\n"
    assert "cut off" in result.stderr
    assert "'go on' may get the rest" in result.stderr
    full = chat(FakeMesh((*ANSWER[:-1], done(finish_reason="context"))), "hi\n")
    assert "/new begins a new conversation" in full.stderr


def test_an_answer_that_went_on_elsewhere_is_text_alone() -> None:
    answer = (*ANSWER[:3], assigned("math-2", 2), tokens(2, "."), done(resumed=True, attempts=2))
    assert chat(FakeMesh(answer), "hi\n").stdout == "It is 42.\n"


def test_retry_asks_for_a_fresh_answer(state: Path) -> None:
    mesh = FakeMesh()
    chat(mesh, "hi\n/retry\n")
    first, second = mesh.requests
    assert texts(first) == texts(second) == ["hi"]
    assert not first.HasField("cacheable")
    assert second.cacheable is False
    assert len(ChatStore(state / "chats").load("hi").turns) == 1


def test_a_file_goes_below_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x = 1\n")
    mesh = FakeMesh()
    result = chat(mesh, f"/file {tmp_path}/a.txt\nwhat is it?\nand now?\n")
    assert "a.txt (5 bytes) goes with the next prompt" in result.stderr
    assert texts(mesh.requests[0]) == ["what is it?\n\na.txt:\n```\nx = 1\n```"]
    assert texts(mesh.requests[1])[-1] == "and now?"


@pytest.mark.parametrize(
    ("content", "why"), [(b"\x89PNG\r\n", "not UTF-8"), (b"a\0b", "binary"), (b" \n", "empty")]
)
def test_a_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "file").write_bytes(content)
    result = chat(FakeMesh(), f"/file {tmp_path}/file\n")
    assert result.exit_code == 2
    assert why in result.stderr


def test_a_folder_and_a_pipe_are_no_text_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a folder" in chat(FakeMesh(), f"/file {tmp_path}\n").stderr
    assert "no regular file" in chat(FakeMesh(), f"/file {tmp_path}/pipe\n").stderr


def test_why_shows_the_decision_and_who_would_be_asked() -> None:
    result = chat(FakeMesh(), "hi\n/why\n")
    assert "answered by math with math" in result.stderr
    assert "math via rules/word_problem (0.97)" in result.stdout
    assert "resident, 3 of 4 slots free" in result.stdout


def test_stats_are_of_this_conversation() -> None:
    result = chat(FakeMesh(), "hi\nhi\n/stats\n")
    assert "2 turns, kept as hi" in result.stderr
    assert "the conversation is 15 of 1,024 tokens long for math" in result.stderr


def test_a_full_disk_does_not_end_it(state: Path) -> None:
    (state / "chats").write_text("")  # no folder can be made there
    result = chat(FakeMesh(), "hi\nagain\n")
    assert result.exit_code == 0
    assert result.stdout == "It is 42.\nIt is 42.\n"
    assert result.stderr.count("the chat goes on and is not kept") == 1


def test_a_conversation_that_is_open_elsewhere_is_refused(state: Path) -> None:
    store = ChatStore(state / "chats")
    store.save(SavedChat(name="talk", created=1.0, changed=1.0))
    with store.held("talk"):
        result = chat(FakeMesh(), "hi\n", "-c", "talk")
    assert result.exit_code == 2
    assert "'talk' is open elsewhere" in result.stderr


def test_kept_conversations_are_listed(state: Path) -> None:
    assert run("chats").stderr == "no conversation is kept yet; `mesh chat` begins one\n"
    store = ChatStore(state / "chats")
    turn = Turn(prompt="What is\x1b[2J this?", answer="x", ended=STOPPED, asked=1.0)
    store.save(SavedChat(name="talk", created=1.0, changed=1.0, turns=(turn,)))
    (state / "chats" / "torn.json").write_text("{")
    result = run("chats")
    assert result.exit_code == 1
    assert "talk" in result.stdout
    assert "What is this?" in result.stdout
    assert "torn.json is damaged" in result.stderr
    assert (state / "chats" / "torn.json").read_text() == "{"
    good, bad = map(json.loads, run("chats", "--json").stdout.splitlines())
    assert good == {
        "name": "talk",
        "created": 1.0,
        "changed": 1.0,
        "turns": 1,
        "first": "What is this?",
    }
    assert bad["name"] == "torn"
    assert "damaged" in bad["error"]


def test_conversations_are_removed_by_name(state: Path) -> None:
    store = ChatStore(state / "chats")
    for name in ("one", "two"):
        store.save(SavedChat(name=name, created=1.0, changed=1.0))
    (state / "chats" / "torn.json").write_text("{")
    result = run("chats", "rm", "one", "nothing", "torn")
    assert result.exit_code == 2
    assert "no conversation 'nothing'" in result.stderr
    assert store.names() == ("two",)

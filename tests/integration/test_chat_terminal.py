"""`mesh chat` on a terminal: a real process, what a person types and sees."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mesh.cli.chat.store import ChatStore
from tests.fake_mesh import (
    Broken,
    FakeMesh,
    assigned,
    decided,
    done,
    serving,
    tokens,
)
from tests.terminal_rig import Terminal, terminal

pytestmark = pytest.mark.processes

SCREENS = Path(__file__).parent / "screens"
CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"

WORDS = (
    "# Sums\n\n",
    "A sum is what **several",
    " numbers** come to",
    ", however long the line that says so may be.\n\n",
    "```python\nprint(sum([40, 2]))\n```\n",
    "\n1. add\n2. say `42`\n",
)
ANSWER = (decided(), assigned(), *(tokens(n, text) for n, text in enumerate(WORDS)), done())


@contextmanager
def chatting(
    mesh: FakeMesh, state: Path, *arguments: str, columns: int = 80, rows: int = 24, **names: str
) -> Iterator[Terminal]:
    command = [sys.executable, "-m", "mesh.cli", "chat", "--endpoint", mesh.endpoint, *arguments]
    with terminal(command, columns, rows, MESH_STATE_DIR=str(state), **names) as opened:
        opened.ready()
        yield opened


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_a_conversation_looks_as_it_did(tmp_path: Path, columns: int) -> None:
    with (
        serving(FakeMesh(ANSWER)) as mesh,
        chatting(mesh, tmp_path, columns=columns, rows=80) as opened,
    ):
        opened.type("What is a sum?\r")
        opened.until("12 ms")
        opened.type("/sums\r")
        opened.until("/help lists", times=2)
        opened.type("/system be brief\r")
        opened.until("set")
        opened.type("/help\r")
        opened.until("/exit")
        opened.ready()
        opened.type(CTRL_D)
        assert opened.ended() == 0
        shown = re.sub(r"127\.0\.0\.1:\d{5}", "127.0.0.1:55555", opened.text)
    file = SCREENS / f"chat-{columns}.txt"
    if not file.exists():  # a new one, for a person to look at
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{shown}\n", encoding="utf-8")
    assert shown == file.read_text(encoding="utf-8").rstrip("\n")
    assert all(len(line) <= columns for line in shown.splitlines())


def test_ctrl_c_stops_the_answer_and_not_the_chat(tmp_path: Path) -> None:
    held = threading.Event()
    mesh = FakeMesh((decided(), assigned(), tokens(0, "Once upon"), held, done()))
    with serving(mesh), chatting(mesh, tmp_path) as opened:
        opened.type("A story!\r")
        opened.until("Once upon")
        opened.type(CTRL_C)
        opened.until("stopped; what came is part of the conversation")
        held.set()
        mesh.answer = ANSWER
        opened.type("go on\r")
        opened.until("12 ms")
        opened.type("/exit\r")
        assert opened.ended() == 0
    asked = [message.content for message in mesh.requests[-1].messages]
    assert asked == ["A story!", "Once upon", "go on"]
    assert [turn.ended for turn in ChatStore(tmp_path / "chats").load("a-story").turns] == [
        "stopped",
        "stop",
    ]


def test_stopped_before_its_first_word_the_prompt_is_given_back(tmp_path: Path) -> None:
    held = threading.Event()
    mesh = FakeMesh((decided(), held, done()))
    with serving(mesh), chatting(mesh, tmp_path) as opened:
        opened.type("A story!\r")
        while not mesh.requests:
            opened.until("A story!")
        opened.type(CTRL_C)
        opened.until("> A story!", times=2)
        held.set()
        mesh.answer = ANSWER
        opened.type(" Please.\r")
        opened.until("12 ms")
    assert mesh.requests[-1].messages[-1].content == "A story! Please."


def test_the_mesh_goes_and_comes_back(tmp_path: Path) -> None:
    mesh = FakeMesh(ANSWER)
    with serving(mesh):
        opening = chatting(mesh, tmp_path)
        opened = opening.__enter__()
    try:
        opened.type("Are you there?\r")
        opened.until("mesh: ")
        opened.until("> Are you there?", times=2)
        with serving(mesh, mesh.endpoint):
            opened.type("\r")
            opened.until("12 ms")
            opened.type(CTRL_D)
            assert opened.ended() == 0
    finally:
        opening.__exit__(None, None, None)


def test_an_answer_that_breaks_is_one_line_and_its_prompt_comes_back(tmp_path: Path) -> None:
    mesh = FakeMesh((*ANSWER[:4], Broken("node_lost", "the node is gone\x1b[2J")))
    with serving(mesh), chatting(mesh, tmp_path) as opened:
        opened.type("What is a sum?\r")
        opened.until("mesh: the node is gone")
        opened.until("> What is a sum?", times=2)
        mesh.answer = ANSWER
        opened.type("\x15/retry\r")
        opened.until("12 ms")
        opened.ready()
    assert len(ChatStore(tmp_path / "chats").load("what-is-a-sum").turns) == 1


def test_where_an_answer_went_on_elsewhere_stands_a_mark(tmp_path: Path) -> None:
    answer = (
        *(decided(), assigned(), tokens(0, "It is", " 4"), assigned("math-2", 2)),
        *(tokens(2, "2."), done(resumed=True, attempts=2)),
    )
    with serving(FakeMesh(answer)) as mesh, chatting(mesh, tmp_path) as opened:
        opened.type("What is it?\r")
        opened.until("It is 4↻2.")
        opened.until("resumed")


def test_resized_in_mid_answer_it_goes_on_within_the_new_width(tmp_path: Path) -> None:
    held = threading.Event()
    mesh = FakeMesh(
        (decided(), assigned(), tokens(0, "**Some**"), held, tokens(1, " words" * 40), done())
    )
    with serving(mesh), chatting(mesh, tmp_path) as opened:
        opened.type("Say some\r")
        opened.until("**Some**")
        opened.resize(40, 24)
        held.set()
        opened.until("12 ms")
        assert "**Some** words" in opened.text  # raw: nobody knows where it stands
        assert max(map(len, opened.lines)) <= 40


def test_nothing_that_a_model_says_is_obeyed(tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b]52;c;ZXZpbA==\x07\x1b]0;title\x07\x9b2J\u202e"
    answer = (decided(rule=evil), assigned(evil), tokens(0, f"`a`{evil}"), done(node_name=evil))
    with serving(FakeMesh(answer)) as mesh, chatting(mesh, tmp_path) as opened:
        opened.type("Be evil\r")
        opened.until("12 ms")
        assert "> Be evil" in opened.text
        for bad in (b"\x1b]52", b"\x1b]0;", b"\x1b[2J", "\u202e".encode(), b"\xc2\x9b"):
            assert bad not in opened.sent


@pytest.mark.parametrize("names", [{"TERM": "dumb"}, {"NO_COLOR": "1"}], ids=str)
def test_without_colours_there_are_none(tmp_path: Path, names: dict[str, str]) -> None:
    with serving(FakeMesh(ANSWER)) as mesh, chatting(mesh, tmp_path, **names) as opened:
        opened.type("What is a sum?\r")
        opened.until("12 ms")
        for colour in (b"\x1b[3", b"\x1b[9", b"\x1b[4"):
            assert not any(
                part[:3].rstrip(b"m").isdigit() for part in opened.sent.split(colour)[1:]
            )
        if names.get("TERM") == "dumb":
            assert "**several numbers**" in opened.text
            assert b"\x1b" not in opened.sent


def test_five_megabytes_pasted_are_told_their_size(tmp_path: Path) -> None:
    with serving(FakeMesh(ANSWER)) as mesh, chatting(mesh, tmp_path) as opened:
        opened.type("\x1b[200~" + "word " * 1024 * 1024 + "\x1b[201~")
        opened.until("5.0 MiB and was not taken")
        opened.type("hi\r")
        opened.until("12 ms")
    assert mesh.requests[-1].messages[-1].content == "hi"


def test_what_is_typed_meanwhile_waits_for_the_next_prompt(tmp_path: Path) -> None:
    held = threading.Event()
    mesh = FakeMesh((decided(), assigned(), tokens(0, "Well"), held, tokens(1, "!"), done()))
    with serving(mesh), chatting(mesh, tmp_path) as opened:
        opened.type("one\r")
        opened.until("Well")
        opened.type("two\r")
        held.set()
        opened.until("12 ms", times=2)
        assert opened.text.count("two") == 1
    assert mesh.requests[-1].messages[-1].content == "two"


def test_a_conversation_goes_on_where_it_was(tmp_path: Path) -> None:
    with serving(FakeMesh(ANSWER)) as mesh:
        with chatting(mesh, tmp_path) as opened:
            opened.type("What is a sum?\r")
            opened.until("12 ms")
            opened.type(CTRL_D)
            assert opened.ended() == 0
        with chatting(mesh, tmp_path, "-c") as opened:
            shown = opened.until("going on with what-is-a-sum (1 turn)")
            assert "> What is a sum?" in shown
            assert "print(sum([40, 2]))" in shown
            opened.type(UP)
            opened.until("> What is a sum?", times=2)

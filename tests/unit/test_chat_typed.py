"""The prompt of a chat: keys as a terminal sends them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from mesh.cli.chat.completing import ChatCompleter
from mesh.cli.chat.history import MOST_BYTES, history_of
from mesh.cli.chat.pasting import Pastes
from mesh.cli.chat.state import Known
from mesh.cli.chat.typed import TypedLines
from mesh.validation import MAX_REQUEST_BYTES

ALT_ENTER, UP, CTRL_C, CTRL_D = "\x1b\r", "\x1b[A", "\x03", "\x04"
KNOWN = Known({"smol": 2048, "qwen": 4096, "e\x1bvil": 1}, frozenset({"chat", "code"}))


def pasted(text: str) -> str:
    return f"\x1b[200~{text}\x1b[201~"


@dataclass
class Typing:
    lines: TypedLines
    keys: PipeInput
    said: list[str] = field(default_factory=list)

    async def line(self, keys: str, text: str = "") -> str:
        self.keys.send_text(keys)
        async with asyncio.timeout(20):
            return await self.lines.line("> ", text)


@asynccontextmanager
async def typing(
    file: Path | None = None, kept: Sequence[str] = ("talk",)
) -> AsyncIterator[Typing]:
    async def known() -> Known:
        return KNOWN

    said: list[str] = []
    pastes = Pastes()
    with create_pipe_input() as keys:
        lines = TypedLines(
            history_of(file, pastes.whole, said.append),
            ChatCompleter(known, lambda: kept),
            pastes,
            said.append,
            input=keys,
            output=DummyOutput(),
        )
        yield Typing(lines, keys, said)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("hello\r", "hello"),
        (f"one{ALT_ENTER}two\r", "one\ntwo"),
        ("one \\\rtwo\r", "one \ntwo"),
        ('"""a\rb\r"""\r', '"""a\nb\n"""'),
        ("helo\x1b[Dl\r", "hello"),
        (pasted("a\r\nb\rc") + "\r", "a\nb\nc"),
    ],
    ids=repr,
)
async def test_keys_make_a_line(keys: str, line: str) -> None:
    async with typing() as typed:
        assert await typed.line(keys) == line


async def test_ctrl_c_and_ctrl_d_are_told_apart() -> None:
    async with typing() as typed:
        with pytest.raises(KeyboardInterrupt):
            await typed.line(f"half a line{CTRL_C}")
        with pytest.raises(EOFError):
            await typed.line(CTRL_D)


async def test_what_is_given_back_may_be_changed() -> None:
    async with typing() as typed:
        assert await typed.line(" now?\r", text="is it here") == "is it here now?"


async def test_a_long_paste_stands_there_as_its_size_and_is_sent_whole() -> None:
    text = "\n".join(f"line {n}" for n in range(1000))
    async with typing() as typed:
        assert await typed.line(f"see: {pasted(text)} ok?\r") == f"see: {text} ok?"
        assert await typed.line(f"{UP}\r") == f"see: {text} ok?"


async def test_five_megabytes_are_refused_by_their_size_and_soon() -> None:
    async with typing() as typed:
        begun = time.monotonic()

        async def send() -> None:  # a pipe holds 64 KiB
            data = pasted("x" * (5 * 1024 * 1024)) + "still here\r"
            await asyncio.to_thread(typed.keys.send_text, data)

        async with asyncio.TaskGroup() as group:
            group.create_task(send())
            line = await typed.lines.line("> ", "")
        assert line == "still here"
        assert "5.0 MiB and was not taken: a prompt may have 4 MiB" in typed.said[0]
        assert time.monotonic() - begun < 5


def test_pastes_keep_to_what_a_prompt_may_have() -> None:
    pastes = Pastes()
    assert pastes.taken("x" * (MAX_REQUEST_BYTES + 1)) is None
    word = pastes.taken("y" * MAX_REQUEST_BYTES)
    assert word == "[pasted 1: 4.0 MiB]"
    assert pastes.short(pastes.whole(f"a {word}")) == f"a {word}"


@pytest.mark.parametrize(
    ("begun", "line"),
    [
        ("/spe", "/specialty "),
        ("/model sm", "/model smol"),
        ("/specialty co", "/specialty code"),
        ("/load t", "/load talk"),
        ("/copy c", "/copy code"),
        ("/model e", "/model e"),
        ("spe", "spe"),
    ],
)
async def test_tab_completes_commands_and_what_they_take(begun: str, line: str) -> None:
    async with typing() as typed, asyncio.timeout(20), asyncio.TaskGroup() as group:
        sent = group.create_task(typed.lines.line("> ", ""))
        buffer = typed.lines.buffer
        typed.keys.send_text(begun)
        if begun != line:  # what is typed is looked up beside it
            await until(lambda: buffer.complete_state is not None)
            await until(lambda: bool(buffer.complete_state and buffer.complete_state.completions))
        typed.keys.send_text("\t")
        await until(lambda: buffer.text == line)
        typed.keys.send_text("\r")
    assert sent.result() == line


async def until(holds: Callable[[], bool]) -> None:
    """The caller's own deadline is the limit."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_what_was_typed_comes_back_in_the_next_chat(tmp_path: Path) -> None:
    file = tmp_path / "state" / "chat-history"
    async with typing(file) as typed:
        await typed.line("first\r")
        await typed.line(f"a{ALT_ENTER}b\r")
    assert file.stat().st_mode & 0o777 == 0o600
    async with typing(file) as typed:
        sent = asyncio.create_task(typed.lines.line("> ", ""))
        async with asyncio.timeout(20):
            while typed.lines.buffer.text != "a\nb":  # the file is read beside the prompt
                typed.keys.send_text(UP)
                await asyncio.sleep(0.05)
            typed.keys.send_text("\r")
            assert await sent == "a\nb"


async def test_a_history_that_cannot_be_kept_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with typing(tmp_path / "file" / "chat-history") as typed:
        assert await typed.line("one\r") == "one"
        assert await typed.line("two\r") == "two"
        assert len(typed.said) == 1
        assert "Not a directory" in typed.said[0]


async def test_a_history_does_not_grow_for_ever(tmp_path: Path) -> None:
    file = tmp_path / "chat-history"
    file.write_text("".join(f"\n# 2026-01-01\n+entry {n}\n" for n in range(60_000)))
    assert file.stat().st_size > MOST_BYTES
    history = history_of(file, str, lambda _: None)
    assert next(iter(history.load_history_strings())) == "entry 59999"
    assert file.stat().st_size <= MOST_BYTES // 2
    assert file.stat().st_mode & 0o777 == 0o600

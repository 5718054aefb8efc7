"""Lines of `mesh up`: words stay whole on a terminal, lines in a pipe; nothing is said in vain."""

from __future__ import annotations

import asyncio

import pytest
from rich.console import Console

from mesh.cli import screen
from mesh.clock import ManualClock
from mesh.local.ready import FIRST_MURMUR_S, MURMUR_S, SAME_AGAIN_S, murmur

LINE = "mesh at 127.0.0.1:7700 (gRPC), logs in /home/somebody/.local/state/squadron/logs"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_terminal_gets_whole_words(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "console", lambda: Console(width=width, force_terminal=True))

    screen.tell(LINE)

    lines = capsys.readouterr().out.splitlines()
    assert " ".join(line.strip() for line in lines) == LINE or width < 50
    assert "".join("".join(lines).split()) == "".join(LINE.split())
    assert all(len(line) <= width for line in lines)


def test_a_pipe_gets_the_line_and_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen.tell(f"{LINE} {LINE}\x1b[2J")

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{LINE} {LINE}")
    assert "\x1b" not in line


async def test_what_is_waited_for_is_said_when_it_changes_and_else_now_and_then() -> None:
    said: list[str] = []
    clock, words = ManualClock(), ["orchestrator"]
    task = asyncio.create_task(murmur(lambda: words[-1], said.append, clock))

    async def later(seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            await clock.advance(0.5)

    await later(FIRST_MURMUR_S)
    await later(2 * MURMUR_S)
    assert said == ["still waiting for orchestrator"]
    words.append("robin")
    await later(MURMUR_S)
    assert said[1:] == ["still waiting for robin"]
    await later(SAME_AGAIN_S + MURMUR_S)
    assert said[2:] == ["still waiting for robin"]
    task.cancel()

"""Which clipboard a text goes to."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mesh.cli.chat.clipboard import MAX_TERMINAL_BYTES, given_to, program, sequence


@pytest.mark.parametrize(
    ("environment", "installed", "chosen"),
    [
        ({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, "wl-copy xclip", "wl-copy"),
        ({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, "xclip xsel", "xclip"),
        ({"DISPLAY": ":0"}, "wl-copy xsel", "xsel"),
        ({}, "wl-copy xclip xsel", None),
        ({}, "pbcopy", "pbcopy"),
        ({"WSL_DISTRO_NAME": "U"}, "clip.exe", "clip.exe"),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "a b"}, "xclip pbcopy", None),
        ({"DISPLAY": ":0"}, "", None),
    ],
)
def test_the_program_is_one_that_can_reach_it(
    environment: Mapping[str, str], installed: str, chosen: str | None
) -> None:
    there = installed.split()
    command = program(environment, lambda name: name if name in there else None)
    assert (command and command[0]) == chosen


def test_a_terminal_is_sent_the_text_in_a_form_that_holds_nothing_else() -> None:
    sent = sequence("a\x07\x1b\\ü")
    assert sent is not None
    assert sent.startswith("\x1b]52;c;")
    assert sent.endswith("\x07")
    assert base64.b64decode(sent[7:-1]).decode() == "a\x07\x1b\\ü"
    assert sequence("x" * MAX_TERMINAL_BYTES) is None


async def test_a_program_gets_the_text_and_says_whether_it_took_it(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    take = f"import sys; open({str(taken)!r}, 'wb').write(sys.stdin.buffer.read())"
    assert await given_to((sys.executable, "-c", take), "äöü")
    assert taken.read_text(encoding="utf-8") == "äöü"
    assert not await given_to((sys.executable, "-c", "raise SystemExit(1)"), "x" * 1_000_000)
    assert not await given_to(("/nowhere/wl-copy",), "x")

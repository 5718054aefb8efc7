"""`mesh chats` at several widths: a name stays whole, and what has no room is named."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mesh.cli.chat.saved import SavedChat, Turn
from mesh.cli.chats import listed

NAME = "write-a-short-poem-about"
CHAT = SavedChat(
    name=NAME,
    created=0.0,
    changed=40.0,
    turns=(
        Turn(prompt="Write a short poem about the sea", answer="Blue.", ended="stop", asked=0.0),
    ),
)


def shown(width: int) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width, highlight=False).print(listed([CHAT], 100.0, width))
    return output.getvalue().splitlines()


@pytest.mark.parametrize("width", [30, 40, 60, 80, 200])
def test_a_name_is_whole_at_any_width_that_has_room_for_it(width: int) -> None:
    lines = shown(width)

    assert any(line.startswith(f"{NAME} ") or line == NAME for line in lines)
    assert all(len(line) <= width for line in lines)


def test_what_has_no_room_is_named() -> None:
    assert "BEGINS" in shown(80)[0]
    narrow = " ".join(shown(30))
    for column in ("BEGINS", "AGE", "TURNS"):
        assert column in narrow.partition("no room for ")[2]
    assert "no room" not in " ".join(shown(80))


def test_on_the_narrowest_terminal_a_name_is_folded_and_not_lost() -> None:
    text = "".join("".join(shown(20)).split())

    assert NAME in text

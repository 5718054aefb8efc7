"""Text into the clipboard: by a program of this box, or by the terminal that shows us."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping
from contextlib import suppress

TIMEOUT_S = 5.0
# Of what a terminal is sent at once: xterm's own limit, and others' are no smaller.
MAX_TERMINAL_BYTES = 74_994

_PROGRAMS = (  # what it needs in the environment, its command
    ("WAYLAND_DISPLAY", ("wl-copy",)),
    ("DISPLAY", ("xclip", "-selection", "clipboard")),
    ("DISPLAY", ("xsel", "--clipboard", "--input")),
    ("", ("pbcopy",)),
    ("WSL_DISTRO_NAME", ("clip.exe",)),
)


def program(
    environment: Mapping[str, str], find: Callable[[str], str | None]
) -> tuple[str, ...] | None:
    """The command that reaches the clipboard of whoever sits there; None where only the terminal
    does: over SSH this box's own clipboard is somebody else's."""
    if environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"):
        return None
    for needs, command in _PROGRAMS:
        if (not needs or environment.get(needs)) and find(command[0]):
            return command
    return None


def sequence(text: str) -> str | None:
    """OSC 52, by which a terminal takes a text; None where that is too long for it."""
    data = base64.b64encode(text.encode("utf-8", "replace")).decode()
    return f"\x1b]52;c;{data}\x07" if len(data) <= MAX_TERMINAL_BYTES else None


async def given_to(command: tuple[str, ...], text: str) -> bool:
    """Whether it took the text."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    try:
        async with asyncio.timeout(TIMEOUT_S):
            with suppress(BrokenPipeError, ConnectionResetError):
                await process.communicate(text.encode("utf-8", "replace"))
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        return False
    return process.returncode == 0

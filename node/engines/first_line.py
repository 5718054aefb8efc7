"""A library's error as one line: what it says beyond that is for its own log."""

from __future__ import annotations

from mesh.cleaned import cleaned

_LONGEST = 400  # characters


def first_line(error: Exception) -> str:
    said = str(error).lstrip()
    return cleaned(said.partition("\n")[0], _LONGEST) or type(error).__name__

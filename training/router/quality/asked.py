"""What is asked of the router, with what counts as a right answer.

JSON lines with ``prompt`` and ``label`` and, if known, ``source``, ``labels`` (all that count as
right, the label among them), ``slices`` (``non-english``, ``long``, ``follow-up``, ...) and
``messages`` (the whole conversation, the prompt its last turn).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from mesh.types import Message, Role
from orchestrator.rules.labelled import Labelled


@dataclass(frozen=True, slots=True)
class Asked:
    """``messages``: all turns, the one that is decided last. ``right``: specialties, not empty."""

    prompt: str
    label: str
    right: frozenset[str]
    source: str = ""
    slices: frozenset[str] = frozenset()
    messages: tuple[Message, ...] = ()

    @property
    def labelled(self) -> Labelled:
        """The last turn alone, as training and the baselines take it."""
        return Labelled(self.prompt, self.label, self.source)

    def said(self, prompt: str) -> Asked:
        """The same with other words in the last turn."""
        last = Message.of(Role.USER, prompt)
        return replace(self, prompt=prompt, messages=(*self.messages[:-1], last))

    def before(self) -> Asked | None:
        """The user's turn before the last one and all before that; None where there is none."""
        users = [n for n, said in enumerate(self.messages) if said.role is Role.USER]
        if len(users) < 2:
            return None
        turns = self.messages[: users[-2] + 1]
        return replace(self, prompt=turns[-1].text, messages=turns)


class _Turn(msgspec.Struct):
    role: str
    content: str


class _Line(msgspec.Struct):
    prompt: str
    label: str
    source: str = ""
    labels: list[str] = []
    slices: list[str] = []
    messages: list[_Turn] = []


def read(path: Path) -> list[Asked]:
    """All rows; of one that names no source it is the file's name. Ends the process with one line
    that names the file and the first line that is wrong."""
    rows = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    rows.append(_asked(line, path.stem, f"{path}, line {number}"))
    except OSError as error:
        raise SystemExit(f"cannot read {path}: {error.strerror or error}") from None
    if not rows:
        raise SystemExit(f"{path}: no rows")
    return rows


def _asked(line: bytes, stem: str, where: str) -> Asked:
    try:
        row = msgspec.json.decode(line, type=_Line)
        turns = tuple(Message.of(Role(turn.role), turn.content) for turn in row.messages)
    except (msgspec.DecodeError, ValueError) as error:
        raise SystemExit(f"{where}: {error}") from None
    if row.labels and row.label not in row.labels:
        raise SystemExit(f"{where}: the label '{row.label}' is none of its labels")
    if turns and (turns[-1].role is not Role.USER or turns[-1].text.strip() != row.prompt.strip()):
        raise SystemExit(f"{where}: the last of its messages is not its prompt")
    return Asked(
        prompt=row.prompt,
        label=row.label,
        right=frozenset(row.labels or (row.label,)),
        source=row.source or stem,
        slices=frozenset(row.slices),
        messages=turns or (Message.of(Role.USER, row.prompt),),
    )

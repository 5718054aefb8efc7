"""Reads decision logs back, for mining."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mesh.errors import ConfigError
from orchestrator.rules.decision_log import LoggedDecision

MAX_DECISIONS = 50_000  # the newest are kept
# Redacted prompts of one template look alike, and one client's loop must not make a rule.
MAX_ALIKE = 5
_MAX_ENTRY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """``unreadable``: lines that are no decision (a crash in mid-line, another program's)."""

    decisions: tuple[LoggedDecision, ...]
    unreadable: int = 0


def read_log(path: Path) -> Decisions:
    """The log and, before it, the older file that rotation kept. Prompts that look alike count at
    most five times. Raises ``ConfigError`` when there is nothing to read."""
    kept: deque[LoggedDecision] = deque(maxlen=MAX_DECISIONS)
    alike: Counter[tuple[str, str]] = Counter()
    unreadable = 0
    older = path.with_name(path.name + ".1")
    for file in (older, path) if older.exists() else (path,):
        try:
            with file.open("rb") as lines:
                unreadable += _read(lines, kept, alike)
        except OSError as error:
            raise ConfigError(f"cannot read {file}: {error.strerror or error}") from None
    if not kept:
        raise ConfigError(
            f"{path}: no decisions in it; set router.log.file in the orchestrator's settings, and "
            "let it run for a while"
        )
    return Decisions(decisions=tuple(kept), unreadable=unreadable)


def _read(
    lines: Iterable[bytes], kept: deque[LoggedDecision], alike: Counter[tuple[str, str]]
) -> int:
    decoder = msgspec.json.Decoder(LoggedDecision)
    unreadable = 0
    for line in lines:
        if len(line) > _MAX_ENTRY_BYTES:
            unreadable += 1
            continue
        try:
            decision = decoder.decode(line)
        except msgspec.DecodeError:
            unreadable += 1
            continue
        look = (decision.prompt, decision.specialty)
        alike[look] += 1
        if alike[look] <= MAX_ALIKE:
            kept.append(decision)
        if len(alike) > 4 * MAX_DECISIONS:
            alike.clear()
    return unreadable

"""The fault schedule: ``kill node-2 at 10s; stop math at 5s for 2s; kill random every 2s``. Pure.

::

    schedule = event *(";" event)
    event    = action target ("at" TIME | "every" TIME) ["for" TIME]
    action   = "kill" (SIGKILL) | "stop" (SIGSTOP, then SIGCONT) | "drain" (SIGTERM)
    target   = a node's name or id | "random"

Times count from the start of the measured run. ``for`` goes with ``stop``, and must.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

from mesh.durations import seconds, written
from mesh.errors import ConfigError
from mesh.fleet.records import NodeRecord

RANDOM = "random"
SHORTEST_EVERY_S = 0.1
MAX_EVENTS = 1000
_EXAMPLE = "'kill math at 10s' or 'stop math at 5s for 2s'"
_WORD = re.compile(r"[^\s;]+|;")


class Action(StrEnum):
    KILL = "kill"
    STOP = "stop"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultEvent:
    """``at_s``: the first time, ``every_s``: how often from then on, None for once; ``for_s``: how
    long a stop lasts. Seconds."""

    action: Action
    target: str
    at_s: float
    every_s: float | None = None
    for_s: float | None = None

    def __str__(self) -> str:
        when = f"at {written(self.at_s)}"
        if self.every_s is not None:
            when = f"every {written(self.every_s)}"
        lasts = f" for {written(self.for_s)}" if self.for_s is not None else ""
        return f"{self.action} {self.target} {when}{lasts}"


def parse(text: str) -> tuple[FaultEvent, ...]:
    """In the order written. Raises ``ConfigError`` that names the place, counted from 1."""
    words = _Words(text)
    events: list[FaultEvent] = []
    while words.more:
        if words.next_is(";"):
            words.take()
            continue
        events.append(_event(words))
        if words.more and not words.next_is(";"):
            words.fail("';' or the end")
        if len(events) > MAX_EVENTS:
            raise ConfigError(f"--faults: over {MAX_EVENTS} faults; use 'every' for repeated ones")
    if not events:
        raise ConfigError(f"--faults: no fault in it; for example {_EXAMPLE}")
    return tuple(events)


def check_targets(events: Sequence[FaultEvent], nodes: Sequence[NodeRecord], *, host: str) -> None:
    """Only nodes of this host can be acted on. Raises ``ConfigError`` naming the one that is not
    there, or is elsewhere. ``host``: this one's name."""
    for event in events:
        if event.target == RANDOM:
            if not any(node.host == host for node in nodes):
                raise ConfigError(f"--faults: '{event}': no node of this mesh runs on {host}")
            continue
        found = [node for node in nodes if event.target in (node.name, node.id)]
        if not found:
            known = ", ".join(sorted(node.name for node in nodes)[:20]) or "none"
            raise ConfigError(f"--faults: no node '{event.target}' in the mesh; there are: {known}")
        if len(found) > 1:
            raise ConfigError(
                f"--faults: {len(found)} nodes are called '{event.target}'; say an id instead: "
                f"{', '.join(node.id for node in found[:5])}"
            )
        if found[0].host != host:
            raise ConfigError(
                f"--faults: node '{event.target}' is on {found[0].host} and this is {host}; run "
                "this there, or name a node of this host"
            )


def check_within(events: Sequence[FaultEvent], duration_s: float) -> None:
    """Raises ``ConfigError`` for a fault that a run of ``duration_s`` seconds would never see."""
    for event in events:
        if event.at_s >= duration_s:
            raise ConfigError(
                f"--faults: '{event}' never happens: the run lasts {written(duration_s)}; run "
                "longer, or let it happen earlier"
            )


class _Words:
    """The schedule's words with their places."""

    def __init__(self, text: str) -> None:
        self._found = list(_WORD.finditer(text))
        self._at = 0
        self._end = len(text) + 1

    @property
    def more(self) -> bool:
        return self._at < len(self._found)

    def next_is(self, *words: str) -> bool:
        return self.more and self._found[self._at][0].lower() in words

    def take(self) -> str:
        word = self._found[self._at][0]
        self._at += 1
        return word

    def fail(self, wanted: str, why: str = "") -> NoReturn:
        place, said = self._end, "the end"
        if self.more:
            match = self._found[self._at]
            place, said = match.start() + 1, f"'{match[0]}'"
        reason = f" ({why})" if why else ""
        raise ConfigError(
            f"--faults: at character {place}: {said} where {wanted} belongs{reason}; for example "
            f"{_EXAMPLE}"
        )

    def one_of(self, *choices: str) -> str:
        if not self.next_is(*choices):
            self.fail(" or ".join(f"'{choice}'" for choice in choices))
        return self.take().lower()

    def target(self) -> str:
        if not self.more or self.next_is(";", "at", "every", "for"):
            self.fail("a node's name or 'random'")
        return self.take()

    def time(self, at_least: float = 0.0) -> float:
        value = seconds(self._found[self._at][0]) if self.more else None
        if value is None or value < at_least:
            limit = f" of {written(at_least)} or more" if at_least else ""
            self.fail(f"a time{limit} like 500ms, 10s or 2m")
        self.take()
        return value


def _event(words: _Words) -> FaultEvent:
    action = Action(words.one_of(*Action))
    target = words.target()
    repeats = words.one_of("at", "every") == "every"
    first = words.time(SHORTEST_EVERY_S if repeats else 0.0)
    lasts: float | None = None
    if action is Action.STOP:
        words.one_of("for")
        lasts = words.time()
    elif words.next_is("for"):
        words.fail("';' or the end", "only a stop lasts")
    return FaultEvent(
        action=action,
        target=RANDOM if target.lower() == RANDOM else target,
        at_s=first,
        every_s=first if repeats else None,
        for_s=lasts,
    )


def times(event: FaultEvent) -> Iterator[float]:
    """The seconds from the start at which ``event`` happens; without end if it repeats."""
    yield event.at_s
    if event.every_s is not None:
        count = 2
        while True:
            yield event.every_s * count
            count += 1

"""Who is hung up by a process that did not run for a while: nobody for that while."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from mesh.doors import guard
from mesh.doors.crowd import GREETING_S, QUIET_S, Connection


class Steps:
    """A clock whose sleeps are over at once; the first takes ``held_s`` more."""

    def __init__(self, held_s: float) -> None:
        self.at = 100.0
        self._held_s = held_s

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        held, self._held_s = self._held_s, 0.0
        self.at += seconds + held
        await asyncio.sleep(0)


class Quiet:
    """One that greeted and one that did not, of whom nothing was heard since 100.0."""

    def look(self, now: float, limit: int) -> Iterator[Connection]:
        yield Connection(3, 1, "10.0.0.1", 100.0, True, now - 100.0)
        yield Connection(4, 2, "10.0.0.2", 100.0, False, now - 100.0)


@pytest.mark.parametrize("held_s", [0.0, 60.0])
async def test_time_in_which_this_process_did_not_run_is_nobodys_silence(
    held_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, gone = Steps(held_s), dict[int, float]()
    monkeypatch.setattr(guard, "hang_up", lambda each: gone.setdefault(each.fd, clock.at))
    clock_: Any = clock
    made = guard.Guard(1000, clock_)
    quiet: Any = Quiet()
    made._connections = quiet
    running = asyncio.create_task(made.run())
    while clock.at < 200.0:  # noqa: ASYNC110 - moved by who sleeps
        await asyncio.sleep(0)
    running.cancel()
    awake = 100.0 + held_s
    assert gone[3] == pytest.approx(awake + QUIET_S, abs=2.0)
    assert gone[4] == pytest.approx(awake + GREETING_S, abs=2.0)

"""What a runner is at, in memory that its agent can read while the runner hangs or after it died.

An engine that hangs or crashes tells nobody for whom. So before it works for one sequence alone (it
reads the conversation, it keeps to the grammar) the runner writes that down here, and its agent
knows which request the engine was lost to, and that the others have no part in it.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from dataclasses import dataclass
from enum import IntEnum

from mesh.errors import EngineFailed, EngineLost, FormLost

_WORDS = struct.Struct("=QQQ")  # sequence, stage, how many were written
SIZE = _WORDS.size


class Stage(IntEnum):
    NOTHING = 0
    OPENING = 1  # reading its conversation
    STEP = 2  # a step of the engine; for one sequence when only one was in it
    FORM = 3  # keeping to its grammar or schema


@dataclass(frozen=True, slots=True)
class Word:
    """``sequence``: 0 for nobody alone. ``count`` differs between any two pieces of work."""

    sequence: int
    stage: Stage
    count: int

    def loss(self, number: int, reason: str) -> EngineFailed:
        """What sequence ``number`` is told of an engine that was lost at this."""
        if not self.sequence:
            return EngineFailed(reason)
        if self.sequence != number:
            return EngineFailed(f"{reason}, at work on another request")
        return FormLost(reason) if self.stage is Stage.FORM else EngineLost(reason)


class AtWork:
    """The runner's side. ``memory``: of at least ``SIZE`` bytes; None: nobody reads it."""

    def __init__(self, memory: memoryview | mmap.mmap | bytearray | None = None) -> None:
        self._memory = bytearray(SIZE) if memory is None else memory
        self._sequences: dict[int, int] = {}  # by slot
        self._outer = (0, Stage.NOTHING)
        self._count = 0

    def opening(self, slot: int, sequence: int) -> None:
        self._sequences[slot] = sequence
        self._begin(sequence, Stage.OPENING)

    def step(self, slots: list[int]) -> None:
        """A step for these slots."""
        only = self._sequences.get(slots[0], 0) if len(slots) == 1 else 0
        self._begin(only, Stage.STEP)

    def form(self, slot: int | None = None) -> None:
        """The form of the sequence in ``slot``; None: of the one that is worked for already."""
        sequence = self._outer[0] if slot is None else self._sequences.get(slot, 0)
        self._write(sequence, Stage.FORM)

    def back(self) -> None:
        """From the form to what it was a part of."""
        self._write(*self._outer)

    def nothing(self) -> None:
        self._begin(0, Stage.NOTHING)

    def _begin(self, sequence: int, stage: Stage) -> None:
        self._outer = (sequence, stage)
        self._write(sequence, stage)

    def _write(self, sequence: int, stage: Stage) -> None:
        self._count += 1
        _WORDS.pack_into(self._memory, 0, sequence, stage, self._count)


class SharedWord:
    """The agent's side, one a runner process. ``close`` it."""

    def __init__(self) -> None:
        """Raises ``OSError``."""
        with (
            tempfile.TemporaryFile()
            if not hasattr(os, "memfd_create")
            else os.fdopen(os.memfd_create("squadron-at-work"), "r+b") as file
        ):
            file.truncate(mmap.PAGESIZE)
            self._memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
            self.fd = os.dup(file.fileno())

    def read(self) -> Word:
        sequence, stage, count = _WORDS.unpack_from(self._memory, 0)
        known = stage if stage in Stage._value2member_map_ else Stage.NOTHING
        return Word(sequence, Stage(known), count)

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)


def shared(fd: int) -> mmap.mmap:
    """What the agent reads, in the runner. Raises ``OSError``."""
    return mmap.mmap(fd, mmap.PAGESIZE)

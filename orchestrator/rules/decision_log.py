"""The decision log: what the router decided of which prompts, one JSON object a line. Opt-in, and
with prompts redacted unless told otherwise. `mesh rules mine` reads it.

``record`` is called for every request and only puts a few references into a bounded queue; all work
(redaction, encoding, the disk) is done by ``run`` in a thread. The queue full, the oldest decision
is dropped and counted: the log is a sample, and never holds a request up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mesh.clock import Clock
from mesh.settings.router import DecisionLogSettings
from mesh.types import Decision
from orchestrator.router.base import Features
from orchestrator.rules.redaction import redact

QUEUE = 1024  # decisions
KEPT_CHARACTERS = 2000  # of a prompt: half its beginning, half its end
LAST_WRITE_S = 2.0  # at the end of the process; a disk that hangs must not keep it
_CUT = "\n\n"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedVerdict:
    stage: str
    specialty: str | None
    confidence: float
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedDecision:
    """One line. ``time``: Unix seconds. ``characters``: of the last user turn, of which ``prompt``
    holds at most 2,000. ``turn``: how many user turns there were, this one included. Fields are
    added, never renamed."""

    time: float
    prompt: str
    redacted: bool
    characters: int
    turn: int
    specialty: str
    stage: str
    rule: str | None
    confidence: float
    prior: str | None = None
    alternatives: tuple[tuple[str, float], ...] = ()
    verdicts: tuple[LoggedVerdict, ...] = ()
    rules_version: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a line is made of. Cut to size already: a queue of megabyte prompts would be a
    gigabyte."""

    time: float
    prompt: str
    characters: int
    turn: int
    prior: str | None
    decision: Decision


class DecisionLog:
    """``settings.file`` None: nothing is recorded, and ``run`` only waits. Files are made readable
    by their owner alone. One orchestrator a file: two would rotate it under each other."""

    def __init__(self, settings: DecisionLogSettings, clock: Clock) -> None:
        self._clock = clock
        self._redacted = settings.prompts != "full"
        self._queue: deque[_Entry] = deque(maxlen=QUEUE)
        self._more = asyncio.Event()
        self._writer = (
            _Writer(Path(settings.file).expanduser(), settings.max_bytes) if settings.file else None
        )
        self._overflowed = 0

    @property
    def dropped(self) -> int:
        """Decisions that are not in the log: the queue was full, or the disk refused them."""
        return self._overflowed + (self._writer.lost if self._writer else 0)

    @property
    def written(self) -> int:
        """Lines written."""
        return self._writer.written if self._writer else 0

    def record(self, features: Features, decision: Decision) -> None:
        """Never waits, never raises. On the event loop only."""
        if self._writer is None:
            return
        if len(self._queue) == QUEUE:
            self._overflowed += 1
        text = features.last_user
        self._queue.append(
            _Entry(
                self._clock.wall(),
                _cut(text),
                len(text),
                sum(message.role == "user" for message in features.messages),
                features.prior,
                decision,
            )
        )
        self._more.set()

    async def run(self) -> None:
        """Writes until cancelled, and then what is still queued."""
        writer = self._writer
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                if writer is not None:
                    batch = self._take()
                    await asyncio.to_thread(writer.write, batch, self._redacted)
        finally:
            if writer is not None and self._queue:
                await self._last_write(writer)

    async def _last_write(self, writer: _Writer) -> None:
        batch = self._take()
        try:
            async with asyncio.timeout(LAST_WRITE_S):
                await asyncio.to_thread(writer.write, batch, self._redacted)
        except TimeoutError:
            _LOG.warning("the last %d decisions are not in %s: it hangs", len(batch), writer.path)

    def _take(self) -> list[_Entry]:
        batch = list(self._queue)
        self._queue.clear()
        return batch


class _Writer:
    """The file, from threads, one at a time."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.lost = 0
        self.written = 0
        self._max_bytes = max_bytes
        self._one_at_a_time = threading.Lock()
        self._refused = False

    def write(self, batch: list[_Entry], redacted: bool) -> None:
        """A disk that refuses costs the batch and one line in the log, until it takes one again."""
        lines = [_line(entry, redacted) for entry in batch]
        with self._one_at_a_time:
            done = 0
            try:
                for size, chunk in _chunks(lines, self._max_bytes):
                    self._append(chunk)
                    done += size
            except OSError as error:
                if not self._refused:
                    _LOG.error(
                        "cannot write decisions to %s: %s; they are dropped until it can be "
                        "written again",
                        self.path,
                        error.strerror or error,
                    )
                self._refused = True
            else:
                if self._refused:
                    _LOG.info("decisions go to %s again", self.path)
                self._refused = False
            self.written += done
            self.lost += len(lines) - done

    def _append(self, chunk: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self._open()
        try:
            before = os.fstat(file).st_size
            if before and before + len(chunk) > self._max_bytes:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
                os.close(file)
                file = -1
                file = self._open()
                before = os.fstat(file).st_size
            try:
                _write_all(file, chunk)
            except OSError:
                os.ftruncate(file, before)  # half a line would spoil the next one too
                raise
        finally:
            if file >= 0:
                os.close(file)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _chunks(lines: list[bytes], size: int) -> list[tuple[int, bytes]]:
    """Lines in runs of at most ``size`` bytes, with the number of lines in each; a line that is
    larger stands by itself."""
    chunks: list[tuple[int, bytes]] = []
    run: list[bytes] = []
    so_far = 0
    for line in lines:
        if run and so_far + len(line) > size:
            chunks.append((len(run), b"".join(run)))
            run, so_far = [], 0
        run.append(line)
        so_far += len(line)
    if run:
        chunks.append((len(run), b"".join(run)))
    return chunks


def _cut(text: str) -> str:
    if len(text) <= KEPT_CHARACTERS:
        return text
    half = KEPT_CHARACTERS // 2
    return text[:half] + _CUT + text[-half:]


def _line(entry: _Entry, redacted: bool) -> bytes:
    decision = entry.decision
    logged = LoggedDecision(
        time=round(entry.time, 3),
        # JSON has no lone surrogates; redaction replaces them in any case.
        prompt=redact(entry.prompt)
        if redacted
        else entry.prompt.encode("utf-8", "replace").decode("utf-8"),
        redacted=redacted,
        characters=entry.characters,
        turn=entry.turn,
        specialty=decision.specialty,
        stage=decision.stage,
        # A rule's name is the operator's own text; a note may quote the prompt and is not logged.
        rule=decision.rule,
        confidence=round(decision.confidence, 4),
        prior=entry.prior,
        alternatives=tuple((a.specialty, round(a.probability, 4)) for a in decision.alternatives),
        verdicts=tuple(
            LoggedVerdict(
                stage=v.stage,
                specialty=v.specialty,
                confidence=round(v.confidence, 4),
                rule=v.rule,
            )
            for v in decision.verdicts
        ),
        rules_version=decision.rules_version,
    )
    return msgspec.json.encode(logged) + b"\n"

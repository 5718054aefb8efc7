"""When is silence a stall? Pure: what an attempt said last and its own pace, against the time now.

A node that is alive and an engine that hangs look alike from outside: heartbeats go on, tokens do
not. How long to wait depends on what the node is at. A prefill on a slow CPU may be silent for
seconds between two signs of progress; a stream that gave a token every 20 ms may not. So each
attempt is measured against itself, and never below a floor that a busy machine can reach by
itself. The idea of judging by the observed distribution of arrivals is that of the accrual failure
detector (Hayashibara et al., "The φ Accrual Failure Detector", 2004), here with one moment of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf

from mesh.fleet.records import ModelRecord

# Seconds. A runner answers an attempt between two steps of its engine, and a first step on a slow
# box is the longest there is.
OPENING_S = 15.0
PREPARING_S = 60.0  # queued or loading: the node tells its progress, which a slow disk holds up
PREFILL_FLOOR_S = 10.0
PREFILL_FACTOR = 8.0  # x the longest gap between two signs of this prefill
TOKEN_FLOOR_S = 2.0
# Another attempt of ours is being prefilled by the same model: each step may be longer for it.
BESIDE_PREFILL_FLOOR_S = 5.0
TOKEN_FACTOR = 16.0  # x the mean time between two tokens
LONGEST_S = 60.0  # the node itself gives its engine up after this
# Of a client that reads nothing: its slot goes to who waits for the like, or after a while is given
# back in any case, since another orchestrator's requests may wait for it.
UNREAD_AWAITED_S = 2.0
UNREAD_S = 120.0
# Before the first token. A node may show growth without end: how long all of that may take is
# judged by its own measured speed, and never beyond what is stated here.
UNMEASURED_S, UNMEASURED_TPS = 60.0, 10.0  # of a model whose prompts nobody has timed
BYTES_PER_TOKEN = 2.0  # of a prompt, where a tokenizer is at its worst
FIRST_FACTOR = 8.0  # other prompts are computed beside it
FIRST_MOST_S = 300.0
QUEUED_S = 60.0  # more, once it said that it waits in the node's own line
LOADED_S = 300.0  # more, once it said that its model is being loaded
# While tokens come: a model whose speed is known is not as slow as it likes.
SLOW_FACTOR = 8.0  # x the time a token takes there with all slots at work
SLOW_S = 0.5  # but so long a token may always take
AWAY_S = 0.1  # a client that comes back later than this after an event did not wait for the node
SETTLED_SAMPLES = 3  # waits for tokens before their mean says something
_SMOOTHING = 0.2  # weight of the newest wait


_EXTRA_S = {"queued": QUEUED_S, "loading": LOADED_S}


class Phase(Enum):
    OPENING = "opening"  # sent, and neither accepted nor refused
    PREPARING = "preparing"  # accepted; queued or loading
    PREFILLING = "prefilling"
    DECODING = "decoding"


@dataclass(slots=True, kw_only=True)
class Pace:
    """One attempt as ``stalled`` looks at it.

    ``since``: monotonic seconds; the last sign of the node, or, when the client was slow, the
    moment from which more was waited for. ``waiting`` False: nobody waits for the node now.
    ``heard``: when anything at all came last.
    ``credit``: pieces that the node may still send. ``token_s``: mean seconds between tokens.
    ``chunk_s``: longest gap between signs before the first token. ``done``: of what the node
    says that it is ``at``. ``opened``: when it was sent; ``first_s``: what may pass from there to
    the first token, but for a line or a load (``extra_s``); ``known_s``: what a token takes there
    when all slots are at work, 0 for not known.
    """

    since: float
    credit: int
    waiting: bool = False
    heard: float = 0.0
    phase: Phase = Phase.OPENING
    done: int = -1
    at: str = ""
    chunk_s: float = 0.0
    token_s: float = 0.0
    samples: int = 0
    opened: float = 0.0
    first_s: float = inf
    extra_s: float = 0.0
    known_s: float = 0.0

    def wait(self, now: float) -> None:
        """The client wants more. When it stayed away, the node's silence counts from here."""
        self.waiting = True
        if now - self.heard > AWAY_S:
            self.since = self.heard = now

    def accepted(self, now: float) -> None:
        self.phase = Phase.PREPARING
        self.since = self.heard = now

    def progressed(self, phase: str, done: int, now: float) -> None:
        """Only growth is a sign of life: a node that repeats itself stands still."""
        self.heard = now
        if phase != self.at:  # seconds in a line, percent of a load, tokens of a prompt
            self.at, self.done = phase, -1
            self.extra_s = max(self.extra_s, _EXTRA_S.get(phase, 0.0))
        prefilling = phase == Phase.PREFILLING.value
        self.phase = Phase.PREFILLING if prefilling else Phase.PREPARING
        if done > self.done:
            self.chunk_s = max(self.chunk_s, now - self.since)
            self.done = done
            self.since = now

    def received(self, pieces: int, now: float) -> None:
        self.credit -= pieces
        each = (now - self.since) / pieces if pieces else 0.0
        if self.phase is not Phase.DECODING:
            self.phase = Phase.DECODING
        elif self.samples:
            self.token_s += _SMOOTHING * (each - self.token_s)
            self.samples += 1
        else:
            self.token_s, self.samples = each, 1
        self.since = self.heard = now


def unread(pace: Pace, now: float, *, awaited: bool) -> bool:
    """Whether the client has stayed away for so long that its slot is somebody else's now.
    ``awaited``: somebody waits for such a slot here."""
    if pace.waiting or pace.phase is not Phase.DECODING:
        return False
    return now - pace.heard >= (UNREAD_AWAITED_S if awaited else UNREAD_S)


def allowance_s(pace: Pace, *, beside_prefill: bool = False) -> float:
    """Seconds of silence that this attempt may show now. ``beside_prefill``: another attempt on the
    same model has not had its first token yet."""
    match pace.phase:
        case Phase.OPENING:
            return OPENING_S
        case Phase.PREPARING if not pace.at:  # accepted, and not a word since
            return min(PREPARING_S, max(OPENING_S, pace.first_s))
        case Phase.PREPARING:
            return PREPARING_S
        case Phase.PREFILLING:
            return min(LONGEST_S, max(PREFILL_FLOOR_S, PREFILL_FACTOR * pace.chunk_s))
        case Phase.DECODING if pace.samples < SETTLED_SAMPLES:
            return PREFILL_FLOOR_S
        case Phase.DECODING:
            floor = BESIDE_PREFILL_FLOOR_S if beside_prefill else TOKEN_FLOOR_S
            token_s = pace.token_s
            if pace.known_s:
                token_s = min(token_s, max(SLOW_S, SLOW_FACTOR * pace.known_s))
            return min(LONGEST_S, max(floor, TOKEN_FACTOR * token_s))


def overdue(pace: Pace, now: float) -> bool:
    """Whether the first token is owed for longer than anything known explains, whatever the node
    says that it is at."""
    if not pace.waiting or pace.phase is Phase.DECODING:
        return False
    return now - pace.opened > pace.first_s + pace.extra_s


def first_token_s(prompt_bytes: int, model: ModelRecord) -> float:
    """Seconds that a prompt may take on this model, by its measured speed."""
    least, tps = PREFILL_FLOOR_S, model.prefill_tps
    if tps <= 0.0:
        least, tps = UNMEASURED_S, UNMEASURED_TPS
    return min(FIRST_MOST_S, least + FIRST_FACTOR * prompt_bytes / BYTES_PER_TOKEN / tps)


def known_token_s(model: ModelRecord) -> float:
    """Seconds that a token takes on this model at most, by its measured speeds; 0: not known."""
    full = model.decode_tps_full
    if full > 0.0:
        return max(1, model.slots) / full
    return max(1, model.slots) / model.decode_tps if model.decode_tps > 0.0 else 0.0


def stalled(pace: Pace, now: float, *, beside_prefill: bool = False) -> bool:
    """Whether the node owes a sign for too long. Never while nobody waits for it (the client is
    slow), and never while it has no credit to send by. ``now``: monotonic seconds."""
    if not pace.waiting or (pace.phase is Phase.DECODING and pace.credit <= 0):
        return False
    return now - pace.since > allowance_s(pace, beside_prefill=beside_prefill)

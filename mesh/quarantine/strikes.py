"""What processes tell each other of requests under which engines were lost. Pure.

A process has one value in the registry, ``quarantine/<its id>``, with its newest strikes. A mark's
strikes count over all processes; each ends by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec

from mesh.cleaned import cleaned
from mesh.errors import ProtocolError
from mesh.fleet import border
from mesh.quarantine.marks import MARK_BYTES

STRIKES = 2  # after so many a request is refused
STRIKE_S = 600.0  # so long each of them counts
SET_BACK_S = 60.0  # by as much a clock is corrected; by more, it was set to another time
MOST_STRIKES = 64  # that one process tells; the oldest is dropped
MOST_TELLERS = 256  # processes that are listened to
MAX_VALUE_BYTES = 64 * 1024
WHY_CHARS = 200

Mark = Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{{2 * MARK_BYTES}}}$")]


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """Engines lost at work on what has this mark. ``until``: Unix seconds. ``why``: the last one,
    in words."""

    mark: Mark
    count: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    until: border.Moment
    why: Annotated[str, msgspec.Meta(max_length=4096)] = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The value of one process, the oldest strike first."""

    strikes: Annotated[tuple[Strike, ...], msgspec.Meta(max_length=MOST_STRIKES)]


def encode(strikes: Iterable[Strike]) -> bytes:
    """JSON, indented so that ``etcdctl get`` reads well."""
    return msgspec.json.format(msgspec.json.encode(Told(strikes=tuple(strikes))), indent=2)


def decode(value: bytes) -> tuple[Strike, ...]:
    """Raises ``ProtocolError`` that says in one line what is wrong with it."""
    if len(value) > MAX_VALUE_BYTES:
        raise ProtocolError(
            f"not a list of strikes: {len(value):,} bytes, and at most {MAX_VALUE_BYTES:,} are read"
        )
    return border.read(value, Told, "a list of strikes").strikes


def struck(own: Mapping[str, Strike], mark: str, why: str, now: float) -> dict[str, Strike]:
    """After one more. ``now``: Unix seconds."""
    left = {key: strike for key, strike in own.items() if lasts(strike, now)}
    before = left.pop(mark, None)
    count = before.count + 1 if before is not None else 1
    left[mark] = Strike(
        mark=mark, count=min(count, 1000), until=now + STRIKE_S, why=cleaned(why, WHY_CHARS)
    )
    while len(left) > MOST_STRIKES:
        del left[next(iter(left))]
    return left


def lasts(strike: Strike, now: float) -> bool:
    """Whether it counts still. One with longer to go than any has is of before the clock was set
    back, and may have ended for all that is known: it must not be kept for as long as that was."""
    return now < strike.until <= now + STRIKE_S + SET_BACK_S


def heard(strikes: Iterable[Strike], now: float) -> tuple[Strike, ...]:
    """What another process told now: one that claims to last longer than any does, lasts as long as
    one of this moment."""
    return tuple(
        msgspec.structs.replace(strike, until=min(strike.until, now + STRIKE_S))
        for strike in strikes
        if strike.until > now
    )


def totals(tellers: Iterable[Iterable[Strike]], now: float) -> dict[str, Strike]:
    """By mark, over all that tell of it."""
    found: dict[str, Strike] = {}
    for strikes in tellers:
        for strike in strikes:
            if not lasts(strike, now):
                continue
            before = found.get(strike.mark)
            found[strike.mark] = Strike(
                mark=strike.mark,
                count=strike.count + (before.count if before is not None else 0),
                until=max(strike.until, before.until if before is not None else 0.0),
                why=strike.why,
            )
    return found

"""Which of the connections that others opened are hung up. Pure.

A connection that never said a word within ``GREETING_S``, or nothing for ``QUIET_S``, is nobody's:
every peer of ours greets at once and gives a sign of life every few seconds. Beyond a limit those
go first that said nothing yet, then the newest: what runs is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from mesh.doors.files import Shares
from mesh.doors.origin import Origin

GREETING_S = 5.0
# gRPC pings every 10 s and waits 5 s for the answer, sessions of the data plane beat every second.
QUIET_S = 30.0


class Why(Enum):
    NO_GREETING = f"it said nothing within {GREETING_S:g} s"
    QUIET = f"nothing was heard or sent for {QUIET_S:g} s"
    ADDRESS_FULL = "its address has as many connections as one may have"
    FULL = "this process has as many connections as its open files allow"


@dataclass(frozen=True, slots=True)
class Connection:
    """``fd`` and ``inode`` name it. ``since``: when it was first seen, monotonic seconds. ``said``:
    whether a byte came. ``quiet_s``: since a byte came or went."""

    fd: int
    inode: int
    origin: Origin
    since: float
    said: bool
    quiet_s: float


def hung_up(
    connections: Sequence[Connection], shares: Shares, now: float
) -> list[tuple[Connection, Why]]:
    """Those that have to go, and why."""
    gone: list[tuple[Connection, Why]] = []
    by_origin: dict[Origin, list[Connection]] = defaultdict(list)
    for each in connections:
        if not each.said and now - each.since > GREETING_S:
            gone.append((each, Why.NO_GREETING))
        elif each.quiet_s > QUIET_S:
            gone.append((each, Why.QUIET))
        else:
            by_origin[each.origin].append(each)
    for theirs in by_origin.values():
        theirs.sort(key=_keep_first)
        while len(theirs) > shares.a_connector:
            gone.append((theirs.pop(), Why.ADDRESS_FULL))
    over = sum(map(len, by_origin.values())) - shares.connections
    while over > 0:  # from whoever has most
        gone.append((max(by_origin.values(), key=len).pop(), Why.FULL))
        over -= 1
    return gone


def _keep_first(each: Connection) -> tuple[bool, float, int]:
    return not each.said, each.since, each.fd

"""The budget of open files: how many this process may have, and what each use may take of them.

Links, connections and calls are taken by somebody else's will, and a process without a file left
cannot even read its own load. So every such use has a share, and what it may not take is refused or
hung up with a reason, before files run out.
"""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass

WANTED = 65_536  # many systems give a process 1,024 unless it asks for more
LEAST = 128  # a process with nothing to do has 30 to 60 open
RESERVE = 64  # for the process itself: registry, logs, runners, name look-ups
MOST_CONNECTIONS = 8_192  # that others opened
MOST_LINKS = 512  # that this process opened; a larger fleet is linked as it is asked for
FILES_A_LINK = 5  # ZeroMQ: the connection, the mailbox, and the monitor's pair; one to spare
_NONE_LEFT = frozenset({errno.EMFILE, errno.ENFILE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """``connections``: that others may have open to this process, and ``a_connector``: one
    address of them; ``links``: that this process may have to nodes."""

    connections: int
    a_connector: int
    links: int


def shares(limit: int) -> Shares:
    """Of ``limit`` open files. Half is for who connects, half for links. One address has at most
    half of the connections, so that it alone can never keep all others out."""
    half = max(1, (limit - RESERVE) // 2)
    connections = min(MOST_CONNECTIONS, half)
    return Shares(
        connections=connections,
        a_connector=max(1, connections // 2),
        links=max(1, min(MOST_LINKS, half // FILES_A_LINK)),
    )


def none_left(error: BaseException) -> bool:
    """Whether an ``OSError``, or ZeroMQ's own, says that no file can be opened now."""
    return getattr(error, "errno", None) in _NONE_LEFT


def allowed() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED if soft == resource.RLIM_INFINITY else soft


def opened() -> int:
    """How many are open now. Linux says so at once since 6.2; before, they are counted."""
    try:
        told = os.stat("/proc/self/fd").st_size
        return told or len(os.listdir("/proc/self/fd"))
    except OSError:  # none left to look with, or no /proc at all
        return allowed() if _is_full() else 0


def raise_limit() -> int:
    """Raises this process's limit as far as it may, and returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < target:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        except (OSError, ValueError):
            target = soft
    return allowed()


def _is_full() -> bool:
    try:
        os.close(os.open("/", os.O_RDONLY))
    except OSError as error:
        return none_left(error)
    return False

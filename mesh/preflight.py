"""What a process stands on, looked at before anything native is loaded: what comes later can only
crash for the want of it. Nothing here imports what is native.
"""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass

from mesh.doors.files import LEAST
from mesh.errors import ConfigError

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Needs:
    """The least that works: ``files`` open at once; ``address_bytes`` of address space (``ulimit
    -v``), ``data_bytes`` of memory (``ulimit -d``)."""

    files: int
    address_bytes: int
    data_bytes: int


CLIENT = Needs(files=24, address_bytes=512 * MIB, data_bytes=160 * MIB)  # a command that asks
PROCESS = Needs(files=LEAST, address_bytes=1_024 * MIB, data_bytes=384 * MIB)  # one that serves
# etcd maps 10 GiB for its database at once; with less Go ends it, with a stack.
ETCD = Needs(files=LEAST, address_bytes=12_288 * MIB, data_bytes=384 * MIB)
_LIMITS = (  # of what, what it is called, by how much it is told
    ("files", resource.RLIMIT_NOFILE, "open files (ulimit -n)", 1),
    ("address_bytes", resource.RLIMIT_AS, "MiB of address space (ulimit -v)", MIB),
    ("data_bytes", resource.RLIMIT_DATA, "MiB of memory (ulimit -d)", MIB),
)


def open_streams() -> None:
    """Gives the process the standard streams that it was started without: what is opened next
    would take their numbers, and be written to or closed in their name."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            mode = os.O_RDONLY if number == 0 else os.O_WRONLY
            # The lowest number that is free: this one. What this process becomes has it, too.
            os.set_inheritable(os.open(os.devnull, mode), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def check(needs: Needs) -> None:
    """Raises ``ConfigError`` in one line for a limit below ``needs``, or a folder that is gone. A
    soft limit that may be raised is raised."""
    for field, number, what, unit in _LIMITS:
        least = getattr(needs, field)
        soft, hard = resource.getrlimit(number)
        if soft == resource.RLIM_INFINITY or soft >= least:
            continue
        if hard == resource.RLIM_INFINITY or hard >= least:
            resource.setrlimit(number, (least, hard))
            continue
        raise ConfigError(
            f"this process may have {hard // unit:,} {what}, and needs at least {least // unit:,}; "
            "raise the limit and start again"
        )
    try:
        os.getcwd()
    except OSError:
        raise ConfigError(
            "the folder that this was started in is gone; change to one that is there"
        ) from None

"""What strangers do to a port: connect and say nothing, or next to nothing."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psutil

FILES = 1024  # what most systems give a process


def limited(pid: int, files: int = FILES) -> None:
    """The process may never have more files open; before it has looked how many it may."""
    psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE, (files, files))


@contextmanager
def crowd(
    address: tuple[str, int], count: int, *, of: str = "127.0.0.1", saying: bytes = b""
) -> Iterator[list[socket.socket]]:
    """So many connections from an address, as fast as they go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4 * count), hard))
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            each = socket.socket()
            stack.callback(each.close)
            each.bind((of, 0))
            each.settimeout(2.0)
            try:
                each.connect(address)
                if saying:
                    each.send(saying)
            except OSError:  # refused or hung up, which is an answer too
                continue
            made.append(each)
        yield made


def hung_up(crowd: list[socket.socket], within_s: float) -> int:
    """How many were, so soon."""
    end = time.monotonic() + within_s
    left = list(crowd)
    while left and time.monotonic() < end:
        left = [each for each in left if not _over(each)]
        time.sleep(0.05)
    return len(crowd) - len(left)


def _over(each: socket.socket) -> bool:
    each.setblocking(False)
    try:
        while data := each.recv(4096):
            del data  # a greeting, which says nothing of the end
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True

"""The TCP connections that others have open to this process, whoever listens for them.

ZeroMQ and gRPC accept in threads of their own and tell nobody whom, so the process's own files are
looked at: what has the local port of a listener of ours is a connection to it, and the kernel knows
when it last said something. Source: tcp(7), ``TCP_INFO``, and ``struct tcp_info`` of linux/tcp.h.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from mesh.doors.crowd import Connection
from mesh.doors.origin import Origin, of_address

_INFO = struct.Struct("=8x9I3I")  # to tcpi_last_data_recv
_BYTES_RECEIVED_AT = 128
_INFO_BYTES = 136


@dataclass(frozen=True, slots=True)
class _Known:
    """``port``: the local one, 0 for what is no TCP socket. ``listens``: it accepts others."""

    inode: int
    port: int
    listens: bool
    origin: Origin
    since: float


@dataclass(slots=True)
class Connections:
    """What was seen of every file, so that only a new one is looked at closely."""

    _known: dict[int, _Known] = field(default_factory=dict)

    def look(self, now: float, limit: int) -> Iterator[Connection | None]:
        """The connections to this process's listeners; None at each file before, so that a caller
        may rest at any. ``now``: monotonic seconds. ``limit``: how many files may be open."""
        try:
            fds: Sequence[int] = [int(name) for name in os.listdir("/proc/self/fd")]
        except OSError:  # listing takes a file, and there may be none left
            fds = range(limit)
        for gone in self._known.keys() - set(fds):
            del self._known[gone]
        for fd in fds:
            self._meet(fd, now)
            yield None
        ports = {known.port for known in self._known.values() if known.listens}
        for fd, known in list(self._known.items()):
            if known.listens or known.port not in ports:
                continue
            yield _connection(fd, known)

    def _meet(self, fd: int, now: float) -> None:
        try:
            found = os.fstat(fd)
            known = self._known.get(fd)
            if known is not None and known.inode == found.st_ino:
                return
            self._known[fd] = (
                _socket(fd, found.st_ino, now)
                if stat.S_ISSOCK(found.st_mode)
                else _Known(found.st_ino, 0, False, "", now)
            )
        except OSError:  # closed meanwhile, or not connected yet or any more
            self._known.pop(fd, None)


def hang_up(connection: Connection) -> None:
    """Shuts it down, so that whoever owns it sees its end and closes it. No file is needed for it,
    since there may be none left."""
    try:
        if os.fstat(connection.fd).st_ino != connection.inode:
            return
        with _borrowed(connection.fd) as borrowed:
            borrowed.shutdown(socket.SHUT_RDWR)
    except OSError:  # it was gone already
        return


def _socket(fd: int, inode: int, now: float) -> _Known:
    with _borrowed(fd) as borrowed:
        if (
            borrowed.family not in (socket.AF_INET, socket.AF_INET6)
            or borrowed.type != socket.SOCK_STREAM
        ):
            return _Known(inode, 0, False, "", now)
        port = int(borrowed.getsockname()[1])
        if borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return _Known(inode, port, True, "", now)
        return _Known(inode, port, False, of_address(str(borrowed.getpeername()[0])), now)


def _connection(fd: int, known: _Known) -> Connection | None:
    try:
        with _borrowed(fd) as borrowed:
            info = borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    except OSError:
        return None
    *_, sent_ms, _acked_ms, heard_ms = _INFO.unpack_from(info)
    (received,) = struct.unpack_from("=Q", info, _BYTES_RECEIVED_AT)
    quiet_s = min(sent_ms, heard_ms) / 1000
    return Connection(fd, known.inode, known.origin, known.since, received > 0, quiet_s)


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """Somebody else's socket, looked at and not closed."""
    borrowed = socket.socket(fileno=fd)
    try:
        yield borrowed
    finally:
        borrowed.detach()

"""A child's side of the talk: what its parent says, and what it says to its parent.

Blocking, for a child is one thread that works and one socket. What is queued here waits for
``flush``, which waits for the parent, who always reads.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from mesh.child.frames import READ_BYTES, FrameReader, Gone

In = TypeVar("In")
Out = TypeVar("Out")


class Parent(Generic[In, Out]):
    """``connection``: stays the caller's to close."""

    def __init__(
        self, connection: socket.socket, reader: FrameReader[In], encode: Callable[[Out], bytes]
    ) -> None:
        self._socket = connection
        self._reader = reader
        self._encode = encode
        self._unread: deque[In] = deque()
        self._outgoing: list[bytes] = []

    def fileno(self) -> int:
        """To wait on beside something else."""
        return self._socket.fileno()

    def mail(self) -> Iterator[In]:
        """All messages, waiting for each; never ends. Raises ``Gone``, ``ProtocolError``."""
        while True:
            while self._unread:
                yield self._unread.popleft()
            self._read(0)

    def mail_now(self) -> Iterator[In]:
        """The messages that are here already. Raises ``Gone``, ``ProtocolError``."""
        while True:
            while self._unread:
                yield self._unread.popleft()
            try:
                self._read(socket.MSG_DONTWAIT)
            except BlockingIOError:
                return

    def send(self, message: Out) -> None:
        """Queues it. Raises as ``encode`` does."""
        self._outgoing.append(self._encode(message))

    def flush(self) -> None:
        """Raises ``Gone``."""
        if not self._outgoing:
            return
        data = b"".join(self._outgoing)
        self._outgoing.clear()
        try:
            self._socket.sendall(data)
        except ConnectionError:
            raise Gone from None

    def _read(self, flags: int) -> None:
        try:
            data = self._socket.recv(READ_BYTES, flags)
        except ConnectionError:
            data = b""
        if not data:
            raise Gone
        self._unread.extend(self._reader.read(data))

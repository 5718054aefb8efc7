"""One ZeroMQ socket in an asyncio or uvloop loop, without a thread and without ``zmq.asyncio``.

ZeroMQ's ``FD`` does not say "readable"; it says "look at ``EVENTS``", once per change, and any send
or receive may take that notice away. So after the FD fired everything is read until ``EAGAIN``, and
after every send the socket is looked at again in the loop's next turn (``nudge``). Source: the
manual of zmq_getsockopt(3), ZMQ_FD.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import zmq

from mesh.transport.frames import MAX_FRAME_BYTES

HIGH_WATER_MARK = (
    1_000  # messages per peer and direction; streams are bounded by credit long before
)
MAX_READS_PER_TURN = 128  # then the loop's other callbacks get their turn
MAX_SOCKETS = 16_384  # a link takes three: the socket, and a pair for its monitor

# Plain ints: the enums' arithmetic costs more than the calls they are passed to.
_EVENTS = int(zmq.EVENTS)
_POLLIN = int(zmq.POLLIN)
NOBLOCK = int(zmq.NOBLOCK)

_DISCONNECTS = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_EVENT = struct.Struct("=HI")


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """This process's one context, with one I/O thread."""
    shared: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance(io_threads=1)
    if shared.get(zmq.MAX_SOCKETS) < MAX_SOCKETS:
        shared.set(zmq.MAX_SOCKETS, MAX_SOCKETS)  # only counts before the first socket
    return shared


def new_socket(kind: int) -> zmq.Socket[bytes]:
    socket = context().socket(kind)
    socket.set(zmq.LINGER, 0)
    socket.set(zmq.SNDHWM, HIGH_WATER_MARK)
    socket.set(zmq.RCVHWM, HIGH_WATER_MARK)
    socket.set(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    return socket


class SocketPump:
    """Reads a socket into ``receive`` and calls ``after`` when a turn's reading is done.

    ``read`` takes one message from the socket or raises ``zmq.Again``.
    """

    def __init__(
        self, socket: zmq.Socket[bytes], read: Callable[[], None], after: Callable[[], None]
    ) -> None:
        self._socket = socket
        self._read = read
        self._after = after
        self._loop = asyncio.get_running_loop()
        self._fd = int(socket.get(zmq.FD))
        self._nudged = False
        self._open = True
        self._loop.add_reader(self._fd, self._turn)
        self.nudge()

    def nudge(self) -> None:
        """Has the socket looked at, and ``after`` called, in the loop's next turn."""
        if not self._nudged and self._open:
            self._nudged = True
            self._loop.call_soon(self._look)

    def drain(self) -> None:
        """Reads all that is there now."""
        while self._open and self._read_some():
            pass

    def close(self) -> None:
        """Idempotent; the socket itself is left to its owner."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)

    def _look(self) -> None:
        self._nudged = False
        if not self._open:
            return
        if int(self._socket.get(_EVENTS)) & _POLLIN:  # cheaper than the exception of an empty read
            self._turn()
        else:
            self._after()

    def _turn(self) -> None:
        more = True
        try:
            more = self._read_some()
            if self._open:
                self._after()
        finally:
            if more:
                self.nudge()

    def _read_some(self) -> bool:
        """Whether there may be more."""
        for _ in range(MAX_READS_PER_TURN):
            if not self._open:
                return False
            try:
                self._read()
            except zmq.Again:
                return False
        return True


class DisconnectMonitor:
    """Tells of a lost connection in the moment when ZeroMQ sees it, well before any silence."""

    def __init__(self, socket: zmq.Socket[bytes], lost: Callable[[str], None]) -> None:
        self._socket = socket
        self._lost = lost
        self._pair = socket.get_monitor_socket(int(_DISCONNECTS))
        self._pump = SocketPump(self._pair, self._read, _nothing)

    def close(self) -> None:
        """Before the monitored socket is closed."""
        self._pump.close()
        self._socket.disable_monitor()
        self._pair.close()

    def _read(self) -> None:
        event = self._pair.recv_multipart(NOBLOCK)
        number, _ = _EVENT.unpack(event[0])
        match number:
            case zmq.EVENT_DISCONNECTED:
                self._lost("the connection was closed")
            case zmq.EVENT_CLOSED:
                self._lost("no connection can be made")
            case _:
                self._lost("something other than a Squadron node answers there")


def _nothing() -> None:
    pass

"""The data plane over ZeroMQ: a node is a ROUTER, every dialing link a DEALER of its own.

A DEALER's routing id is random and lives as long as one session; the ROUTER does not hand an id
over to a newcomer, so nobody can take a session. With mandatory routing a full or vanished peer is
an error to the sender instead of a silent loss. Frames that leave together are the parts of one
message: it is taken or refused as a whole, and wakes ZeroMQ's I/O thread once.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Sequence

import zmq

from mesh.clock import Clock
from mesh.doors.crowd import GREETING_S
from mesh.errors import ConfigError, PortInUse, Unreachable
from mesh.settings.timing import Timing
from mesh.transport.address import advertised, bracketed, own_address, resolve, split
from mesh.transport.dialer import FramedDialer
from mesh.transport.listener import FramedListener
from mesh.transport.wire import CLOSE_GRACE_S, Wire, WireServerUser, WireUser
from mesh.transport.zeromq_socket import NOBLOCK, DisconnectMonitor, SocketPump, new_socket
from mesh.types import NodeId

_NEVER_MS = 24 * 3600 * 1000
_NOBLOCK_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)


class ZeroMQDialer(FramedDialer):
    """A ``Dialer``; endpoints are ``tcp://host:port``."""

    async def connect(self, endpoint: str, user: WireUser) -> Wire:
        timeout_s = self.timing.connect_timeout_s
        host, port = await resolve(endpoint, timeout_s)
        return DealerWire(f"tcp://{bracketed(host)}:{port}", timeout_s, user)


class ZeroMQListener(FramedListener):
    """A ``Listener`` at ``bind`` (``tcp://host:port``, port 0 for a free one). ``advertise``: host
    name or address that peers shall dial; None: the bind host, or this machine's own address when
    ``bind`` names all interfaces."""

    def __init__(
        self,
        bind: str,
        node_id: NodeId,
        instance: str,
        timing: Timing,
        clock: Clock,
        advertise: str | None = None,
    ) -> None:
        super().__init__(
            wire=RouterWire(bind, advertise),
            node=node_id,
            instance=instance,
            timing=timing,
            clock=clock,
        )


class DealerWire:
    """A ``Wire``: one TCP connection, tried once. ZeroMQ's own reconnecting is put off for ever,
    because a session must not outlive its connection; a setting of "never" (-1) would do the same
    and throw away what has arrived but was not read yet."""

    def __init__(self, address: str, timeout_s: float, user: WireUser) -> None:
        self._user = user
        try:
            self._socket = socket = new_socket(zmq.DEALER)
        except zmq.ZMQError as error:
            raise Unreachable(f"{address} cannot be dialed: {error.strerror}") from None
        socket.set(zmq.ROUTING_ID, b"d" + secrets.token_bytes(15))
        socket.set(zmq.IPV6, int("[" in address))
        socket.set(zmq.RECONNECT_IVL, _NEVER_MS)
        socket.set(zmq.CONNECT_TIMEOUT, int(timeout_s * 1000))
        socket.set(zmq.HANDSHAKE_IVL, int(timeout_s * 1000))
        self._open = True
        self._lost = False
        monitor: DisconnectMonitor | None = None
        try:
            monitor = DisconnectMonitor(socket, self._on_lost)
            socket.connect(address)
        except zmq.ZMQError as error:
            if monitor is not None:
                monitor.close()
            socket.close()
            raise Unreachable(f"{address} cannot be dialed: {error.strerror}") from None
        self._monitor = monitor
        self._pump = SocketPump(socket, self._read, user.on_writable)

    def send(self, frames: Sequence[bytes]) -> bool:
        try:
            for frame in frames[:-1]:
                self._socket.send(frame, _NOBLOCK_MORE)
            self._socket.send(frames[-1], NOBLOCK)
        except zmq.Again:
            return False
        self._pump.nudge()
        return True

    async def run(self) -> None:
        """ZeroMQ has a thread of its own."""

    def nudge(self) -> None:
        self._pump.nudge()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._pump.close()
            self._monitor.close()
            self._socket.close(linger=0 if self._lost else int(CLOSE_GRACE_S * 1000))

    def _read(self) -> None:
        self._user.on_frame(self._socket.recv(NOBLOCK))

    def _on_lost(self, reason: str) -> None:
        self._pump.drain()  # what arrived before the loss comes before it
        self._lost = True
        if self._open:
            self._user.on_lost(reason)


class RouterWire:
    """A ``WireServer``; peers are routing ids."""

    def __init__(self, bind: str, advertise: str | None) -> None:
        self._bind = bind
        self._advertise = advertise
        self._endpoint = bind
        self._socket: zmq.Socket[bytes] | None = None
        self._pump: SocketPump | None = None
        self._monitor: DisconnectMonitor | None = None
        self._user: WireServerUser | None = None

    @property
    def endpoint(self) -> str:
        return self._endpoint

    def bind(self) -> None:
        host, port = split(self._bind)
        address = own_address(host)
        self._socket = socket = new_socket(zmq.ROUTER)
        socket.set(zmq.ROUTER_MANDATORY, 1)
        socket.set(zmq.ROUTER_HANDOVER, 0)
        socket.set(zmq.HANDSHAKE_IVL, int(GREETING_S * 1000))
        socket.set(zmq.IPV6, int(":" in address))
        try:
            socket.bind(f"tcp://{bracketed(address)}:{port}")
        except zmq.ZMQError as error:
            socket.close()
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"{self._bind} is taken by another process; stop it, or give another port "
                    "(port 0 picks a free one)"
                ) from None
            raise ConfigError(f"cannot listen at {self._bind}: {error.strerror}") from None
        bound = int(socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0").rpartition(":")[2])
        self._endpoint = advertised("tcp", host, address, bound, self._advertise)

    def start(self, user: WireServerUser) -> None:
        """Raises ``ConfigError`` before ``bind``."""
        if self._socket is None:
            raise ConfigError("the listener is not bound: call bind() before run()")
        self._user = user
        self._monitor = DisconnectMonitor(self._socket, lambda _reason: user.on_disconnect())
        self._pump = SocketPump(self._socket, self._read, user.on_writable)

    def send(self, peer: bytes, frames: Sequence[bytes]) -> bool:
        if self._socket is None or self._pump is None:
            raise Unreachable("the listener does not run")
        try:
            self._socket.send(peer, _NOBLOCK_MORE)
            for frame in frames[:-1]:
                self._socket.send(frame, _NOBLOCK_MORE)
            self._socket.send(frames[-1], NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            raise Unreachable(f"the connection is gone ({error.strerror})") from None
        self._pump.nudge()
        return True

    async def run(self) -> None:
        """ZeroMQ has a thread of its own."""

    def nudge(self) -> None:
        if self._pump is not None:
            self._pump.nudge()

    def close(self) -> None:
        if self._pump is not None:
            self._pump.close()
        if self._monitor is not None:
            self._monitor.close()
        if self._socket is not None:
            self._socket.close(linger=int(CLOSE_GRACE_S * 1000))
        self._pump = self._monitor = self._socket = None

    def _read(self) -> None:
        if self._socket is None or self._user is None:
            raise zmq.Again
        peer, *parts = self._socket.recv_multipart(NOBLOCK)
        for frame in parts or (b"",):  # no part at all is no frame, and ends the session
            self._user.on_peer_frame(peer, frame)

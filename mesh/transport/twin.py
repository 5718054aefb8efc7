"""The twin: the same sessions over queues in one process, and a network to break.

It works under a ``ManualClock``: frames move with the event loop, only timers use the clock.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import deque
from collections.abc import Callable, Sequence

from mesh.clock import Clock, SystemClock
from mesh.errors import ConfigError, PortInUse, Unreachable
from mesh.settings.timing import PRESETS, Timing
from mesh.transport.dialer import FramedDialer
from mesh.transport.listener import FramedListener
from mesh.transport.wire import Wire, WireServerUser, WireUser
from mesh.types import NodeId

MAX_FRAMES = 1_000  # per connection and direction; then a send returns False
FRAMES_PER_TURN = 128

_CLOSED = None  # in a lane: the other end closed after what came before


class TwinNetwork:
    """Dialers and listeners that reach each other by node id, and the faults between them.

    A node that is cut off or stalled gets nothing and sends nothing, and nobody is told; frames
    under way are kept, as TCP keeps them, and arrive after ``heal`` on connections that still
    stand then. ``reset`` is the loud kind: every connection of the node breaks at once.
    """

    def __init__(
        self,
        *,
        timing: Timing = PRESETS["local"],
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.timing = timing
        self.clock: Clock = clock or SystemClock()
        self.rng = rng or random.Random(0)
        self.servers: dict[str, TwinServer] = {}
        self._held: dict[NodeId, set[str]] = {}

    def dialer(self, name: str) -> TwinDialer:
        return TwinDialer(self, name)

    def listener(self, node_id: NodeId, instance: str | None = None) -> FramedListener:
        """Its endpoint is ``twin://<node id>``."""
        return FramedListener(
            wire=TwinServer(self, node_id),
            node=node_id,
            instance=instance or secrets.token_hex(8),
            timing=self.timing,
            clock=self.clock,
        )

    def cut(self, node_id: NodeId) -> None:
        """The network between the node and everybody else swallows all in silence."""
        self._held.setdefault(node_id, set()).add("cut")

    def stall(self, node_id: NodeId) -> None:
        """The node stands still as a stopped process does."""
        self._held.setdefault(node_id, set()).add("stall")

    def heal(self, node_id: NodeId) -> None:
        """Ends ``cut`` and ``stall``."""
        self._held.pop(node_id, None)
        for server in list(self.servers.values()):
            if server.node == node_id:
                server.resume()

    def reset(self, node_id: NodeId) -> None:
        """Breaks the node's connections, as a killed process does; what was under way is lost."""
        for server in list(self.servers.values()):
            if server.node == node_id:
                server.reset()

    def holds(self, node_id: NodeId) -> bool:
        return node_id in self._held


class TwinDialer(FramedDialer):
    """A ``Dialer``."""

    def __init__(self, network: TwinNetwork, name: str) -> None:
        super().__init__(name, network.timing, network.clock, network.rng)
        self._network = network

    async def connect(self, endpoint: str, user: WireUser) -> Wire:
        server = self._network.servers.get(endpoint)
        if server is None:
            raise Unreachable(f"nobody listens at {endpoint}")
        return server.accept(user)


class Lane:
    """One direction of a connection: bounded, in order, delivered from the loop."""

    def __init__(
        self,
        held: Callable[[], bool],
        deliver: Callable[[bytes | None], None],
        drained: Callable[[], None],
    ) -> None:
        self._held = held
        self._deliver = deliver  # None: the sender closed
        self._drained = drained  # to the sender: there is space again
        self._frames: deque[bytes | None] = deque()
        self._scheduled = False
        self._full = False
        self._open = True

    def push(self, frames: Sequence[bytes]) -> bool:
        if len(self._frames) >= MAX_FRAMES:
            self._full = True
            return False
        self._frames.extend(frames)
        self.resume()
        return True

    def finish(self) -> None:
        """The sender has closed; what it sent before still arrives."""
        self._frames.append(_CLOSED)
        self.resume()

    def close(self) -> None:
        """The receiver takes no more."""
        self._open = False
        self._frames.clear()

    def resume(self) -> None:
        if not self._scheduled and self._open and not self._held():
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        for _ in range(FRAMES_PER_TURN):
            if not self._frames or not self._open or self._held():
                break
            self._deliver(self._frames.popleft())
        if self._full and len(self._frames) < MAX_FRAMES // 2:
            self._full = False
            self._drained()
        if self._frames:
            self.resume()


class Connection:
    """A ``Wire``, and the server's handle on it."""

    def __init__(self, server: TwinServer, user: WireUser, peer: bytes) -> None:
        self._server = server
        self._user = user
        self._peer = peer
        self._nudged = False
        self._open = True
        self.to_node = Lane(server.held, self._at_node, user.on_writable)
        self.to_dialer = Lane(server.held, self._at_dialer, server.nudge)

    def send(self, frames: Sequence[bytes]) -> bool:
        taken = self.to_node.push(frames)
        if taken:
            self.nudge()
        return taken

    async def run(self) -> None:
        """The loop delivers."""

    def nudge(self) -> None:
        if not self._nudged and self._open:
            self._nudged = True
            asyncio.get_running_loop().call_soon(self._writable)

    def close(self) -> None:
        if self._open:
            self._open = False
            self.to_dialer.close()
            self.to_node.finish()

    def lose(self) -> None:
        """The node's end broke."""
        self.to_node.close()
        self.to_dialer.close()
        if self._open:
            asyncio.get_running_loop().call_soon(self._report_loss)

    def _writable(self) -> None:
        self._nudged = False
        if self._open:
            self._user.on_writable()

    def _report_loss(self) -> None:
        if self._open:
            self._user.on_lost("the connection was closed")

    def _at_node(self, frame: bytes | None) -> None:
        if frame is _CLOSED:
            self.to_node.close()
            self._server.disconnect(self._peer)
        else:
            self._server.receive(self._peer, frame)

    def _at_dialer(self, frame: bytes | None) -> None:
        if not self._open:
            return
        if frame is _CLOSED:
            self._user.on_lost("the connection was closed")
        else:
            self._user.on_frame(frame)


class TwinServer:
    """A ``WireServer``."""

    def __init__(self, network: TwinNetwork, node: NodeId) -> None:
        self.node = node
        self.endpoint = f"twin://{node}"
        self._network = network
        self._user: WireServerUser | None = None
        self._connections: dict[bytes, Connection] = {}
        self._started = False
        self._nudged = False
        self._last_peer = 0

    def bind(self) -> None:
        if self.endpoint in self._network.servers:
            raise PortInUse(f"{self.endpoint} is taken by another listener; stop it first")
        self._network.servers[self.endpoint] = self

    def start(self, user: WireServerUser) -> None:
        if self._network.servers.get(self.endpoint) is not self:
            raise ConfigError("the listener is not bound: call bind() before run()")
        self._user = user
        self._started = True
        self.resume()

    def accept(self, user: WireUser) -> Connection:
        self._last_peer += 1
        peer = self._last_peer.to_bytes(8, "big")
        connection = Connection(self, user, peer)
        self._connections[peer] = connection
        return connection

    def held(self) -> bool:
        """Whether nothing moves: cut off, stalled, or bound and not running yet."""
        return not self._started or self._network.holds(self.node)

    def resume(self) -> None:
        for connection in self._connections.values():
            connection.to_node.resume()
            connection.to_dialer.resume()

    def reset(self) -> None:
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            connection.lose()
        if self._user is not None:
            self._user.on_disconnect()

    def receive(self, peer: bytes, frame: bytes) -> None:
        if self._user is not None:
            self._user.on_peer_frame(peer, frame)

    def disconnect(self, peer: bytes) -> None:
        self._connections.pop(peer, None)
        if self._user is not None:
            self._user.on_disconnect()

    def send(self, peer: bytes, frames: Sequence[bytes]) -> bool:
        connection = self._connections.get(peer)
        if connection is None:
            raise Unreachable("the connection is gone")
        taken = connection.to_dialer.push(frames)
        if taken:
            self.nudge()
        return taken

    async def run(self) -> None:
        """The loop delivers."""

    def nudge(self) -> None:
        if not self._nudged and self._user is not None:
            self._nudged = True
            asyncio.get_running_loop().call_soon(self._writable)

    def close(self) -> None:
        if self._network.servers.get(self.endpoint) is self:
            del self._network.servers[self.endpoint]
        self._user = None
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            connection.to_node.close()
            connection.to_dialer.finish()

    def _writable(self) -> None:
        self._nudged = False
        if self._user is not None:
            self._user.on_writable()

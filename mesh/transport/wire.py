"""What a session needs of the thing that carries its frames.

Links and listeners (``link.py``, ``listener.py``) hold all of the protocol and know no sockets; a
wire carries whole frames in order and knows no protocol. ZeroMQ, gRPC and memory are wires.

Rules for every wire: callbacks come from the event loop, one at a time, never from inside a call
to the wire; frames that arrived before a loss are handed over before the loss is reported.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

MAX_BATCH_FRAMES = 64  # handed to a wire at once
MAX_BATCH_BYTES = 256 * 1024  # a batch that has reached it takes no further frame
CLOSE_GRACE_S = 0.1  # how long an orderly close may go on handing over its last frames


class WireUser(Protocol):
    """The dialing end's session, called by its wire."""

    def on_frame(self, frame: bytes) -> None: ...

    def on_writable(self) -> None:
        """Asked for by ``nudge``, or space came back after a ``send`` that returned False."""
        ...

    def on_lost(self, reason: str) -> None:
        """The connection is gone (refused, reset, closed). Nothing follows it."""
        ...


class Wire(Protocol):
    """The dialing end of one connection."""

    async def run(self) -> None:
        """Owns the tasks that the wire needs, if any: may return at once, and does after ``close``
        or a loss. Cancelled, it closes the wire, so close it in good order first."""
        ...

    def send(self, frames: Sequence[bytes]) -> bool:
        """Takes all of the frames, or returns False when its buffer is full and none was taken.
        Frames that go together cost little more than one: the carrier is woken up once."""
        ...

    def nudge(self) -> None:
        """``on_writable`` will be called at the next turn of the loop."""
        ...

    def close(self) -> None:
        """No callback follows. Idempotent."""
        ...


Connect = Callable[[WireUser], Awaitable[Wire]]
"""Opens a wire. Raises ``Unreachable`` when the address cannot be dialed; a connection that fails
later is reported by ``on_lost``."""


class WireServerUser(Protocol):
    """The listener, called by its wire. ``peer`` names one connection of one dialer."""

    def on_peer_frame(self, peer: bytes, frame: bytes) -> None: ...

    def on_writable(self) -> None: ...

    def on_disconnect(self) -> None:
        """Some connection closed; which one, only the next ``send`` to it will tell."""
        ...


class WireServer(Protocol):
    """The listening end of many connections."""

    @property
    def endpoint(self) -> str:
        """As peers dial it. Known after ``bind``."""
        ...

    def bind(self) -> None:
        """Raises ``PortInUse`` or ``ConfigError``."""
        ...

    def start(self, user: WireServerUser) -> None: ...

    async def run(self) -> None:
        """As ``Wire.run``, for all connections; after ``start``."""
        ...

    def send(self, peer: bytes, frames: Sequence[bytes]) -> bool:
        """As ``Wire.send``. Raises ``Unreachable`` when that connection is gone."""
        ...

    def nudge(self) -> None: ...

    def close(self) -> None: ...

"""Which nodes have fallen silent, before their links give them up. Pure: time is passed in.

A stopped process or a cut cable leaves a connection standing, and the transport waits for its whole
timeout before it calls the node lost. A few missing heartbeats are reason enough to try elsewhere:
the price of a false alarm is one resume, and the node is back at its next heartbeat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.types import NodeId

# A node that beats irregularly (a busy box, another preset) is given so many of its own longest
# gaps, which are forgotten by this share a heartbeat.
GAPS = 3.0
FORGET = 0.98


@dataclass(slots=True)
class Silence:
    """``after_s``: seconds of silence, for a node that beats on time. ``suspects``: who is silent
    now, and when it was heard last (monotonic seconds)."""

    after_s: float
    suspects: dict[NodeId, float] = field(default_factory=dict)
    _heard: dict[NodeId, float] = field(default_factory=dict)
    _gap_s: dict[NodeId, float] = field(default_factory=dict)

    def heard(self, node: NodeId, now: float) -> bool:
        """A heartbeat came. Whether the node was a suspect, and is none any more."""
        before = self._heard.get(node)
        self._heard[node] = now
        was_suspect = self.suspects.pop(node, None) is not None
        if before is not None and not was_suspect:
            # Heartbeats also come between two beats, at each change: hence the longest gap.
            self._gap_s[node] = max(now - before, FORGET * self._gap_s.get(node, 0.0))
        return was_suspect

    def forget(self, node: NodeId) -> bool:
        """Its link is down or its record gone. Whether it was a suspect."""
        self._heard.pop(node, None)
        self._gap_s.pop(node, None)
        return self.suspects.pop(node, None) is not None

    def limit_s(self, node: NodeId) -> float:
        """Seconds of silence after which this node is a suspect."""
        return max(self.after_s, GAPS * self._gap_s.get(node, 0.0))

    def fallen(self, now: float, *, late_s: float) -> tuple[NodeId, ...]:
        """Who became a suspect just now. ``late_s``: how much later than planned this look is; that
        long this process itself did not run, and what nodes sent meanwhile is still unread."""
        if late_s > self.after_s / 4:
            for node in self._heard:
                self._heard[node] = min(now, self._heard[node] + late_s)
            return ()
        fallen = tuple(
            node
            for node, at in self._heard.items()
            if node not in self.suspects and now - at > self.limit_s(node)
        )
        for node in fallen:
            self.suspects[node] = self._heard[node]
        return fallen

"""Wanted nodes that have no link now, in the order in which they are dialled. Pure: time is passed.

First whom somebody asked for, then who was never tried or just wrote a new record, then who did not
answer, each after a pause that doubles.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from mesh.backoff import exponential
from mesh.fleet.records import NodeRecord
from mesh.types import NodeId

PAUSE_S = (1.0, 120.0)  # before a node that did not answer is dialled again


@dataclass(slots=True)
class Resting:
    """``failures``: how often in a row each did not answer, also while it is dialled again."""

    _records: dict[NodeId, NodeRecord] = field(default_factory=dict)
    _failures: dict[NodeId, int] = field(default_factory=dict)
    _asked: dict[NodeId, None] = field(default_factory=dict)
    _fresh: dict[NodeId, None] = field(default_factory=dict)
    _due: dict[NodeId, float] = field(default_factory=dict)
    _by_due: list[tuple[float, NodeId]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, node: NodeId) -> bool:
        return node in self._records

    def add(self, record: NodeRecord) -> None:
        """It was never tried, its record is new, or its room was needed: nothing is known against
        it."""
        self.discard(record.id)
        self._records[record.id] = record
        self._fresh[record.id] = None

    def failed(self, record: NodeRecord, now: float) -> None:
        """It was dialled, or its link went down, and it did not answer."""
        failures = self._failures.get(record.id, 0) + 1
        self.discard(record.id)
        self._records[record.id] = record
        self._failures[record.id] = failures
        base_s, cap_s = PAUSE_S
        due = now + exponential(failures, base_s=base_s, cap_s=cap_s)
        self._due[record.id] = due
        heapq.heappush(self._by_due, (due, record.id))

    def answered(self, node: NodeId) -> None:
        """Its link came up."""
        self._failures.pop(node, None)

    def ask(self, node: NodeId) -> None:
        """It goes first. Whoever failed a moment ago has its pause."""
        if node in self._fresh:
            self._asked[node] = None

    def discard(self, node: NodeId) -> None:
        """It is dialled, or not wanted any more."""
        self._records.pop(node, None)
        self._asked.pop(node, None)
        self._fresh.pop(node, None)
        self._due.pop(node, None)

    def forget(self, node: NodeId) -> None:
        """Its record is gone."""
        self.discard(node)
        self._failures.pop(node, None)

    def paused(self, node: NodeId, now: float) -> bool:
        """Whether it did not answer, and is not tried before some time has passed."""
        return self._due.get(node, now) > now

    def next(self, now: float, *, asked_only: bool) -> NodeRecord | None:
        """Whom to dial now; it stays here until it is discarded."""
        for node in self._asked:
            return self._records[node]
        if asked_only:
            return None
        for node in self._fresh:
            return self._records[node]
        while self._by_due:
            due, node = self._by_due[0]
            if self._due.get(node) == due:
                return self._records[node] if due <= now else None
            heapq.heappop(self._by_due)  # it was dialled or forgotten meanwhile
        return None

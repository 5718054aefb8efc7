"""Records, heartbeats and link states become one live ``FleetView``: the loop around mesh/fleet.

Also here: what only this process knows of its nodes, that is its own attempts in flight, refusals
it just met, and nodes it set aside after a failure.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mesh.backoff import decorrelated
from mesh.clock import Clock
from mesh.doors.files import MOST_LINKS
from mesh.fleet import view as change
from mesh.fleet.complaints import Complaints
from mesh.fleet.records import TRANSPORTS, FleetView, Heartbeat, ModelState, NodeView
from mesh.registry.base import NODES, ORCHESTRATORS, Change, Delete, Put, Registry
from mesh.transport.base import Attempt, AttemptStream, Dialer
from mesh.transport.dialers import Dialers
from mesh.transport.links import Links
from mesh.types import ModelId, NodeId
from orchestrator.picture.silence import Silence

log = logging.getLogger(__name__)


TICK_S = 0.05  # grain of wake-ups: alarms that fall into one tick share one timer
SET_ASIDE_BASE_S = 0.25
SET_ASIDE_CAP_S = 15.0
LOOKS = 16  # for silent nodes, in the time after which a node counts as one
LEAST_REFUSED_S = 0.02  # whatever the node says: it is not asked in a circle
REFUSED_S = 1.0  # a refusal counts until the node's next heartbeat, and no longer than this


class Fleet:
    """``view`` is always the newest snapshot; ``version`` counts its changes.

    ``suspect_after_s``: seconds without a heartbeat before a node whose link is still up gets no
    new work (and what runs there moves, see ``orchestrator/attempts/watch.py``); None: never.
    ``links``: nodes that are linked at once, at most; the rest are when somebody needs them.
    """

    def __init__(
        self,
        registry: Registry,
        dialer: Dialer | Dialers,
        clock: Clock,
        rng: random.Random,
        *,
        suspect_after_s: float | None = None,
        links: int = MOST_LINKS,
    ) -> None:
        self._registry = registry
        self._clock = clock
        self._rng = rng
        self._view = FleetView()
        self._complaints = Complaints()
        dialers = dialer if isinstance(dialer, Mapping) else dict.fromkeys(TRANSPORTS, dialer)
        self._links = Links(
            dialers,
            clock,
            on_heartbeat=self._heard,
            on_link=self._linked,
            on_rest=self._rests,
            limit=links,
        )
        self._version = 0
        self._moved = asyncio.Event()
        self._held: dict[tuple[NodeId, ModelId], int] = {}
        self._refused: dict[tuple[NodeId, ModelId], float] = {}
        # Of a node, or of one model on it (None: of all that it has).
        self._last_pause: dict[tuple[NodeId, ModelId | None], float] = {}
        # To how many attempts there the probe may come on top.
        self._probing: dict[tuple[NodeId, ModelId | None], int] = {}
        self._silence = Silence(suspect_after_s) if suspect_after_s is not None else None
        self._outlived: set[NodeId] = set()
        self._ticks: set[int] = set()
        self._group: asyncio.TaskGroup | None = None

    @property
    def view(self) -> FleetView:
        return self._view

    @property
    def version(self) -> int:
        return self._version

    @property
    def registry_connected(self) -> bool:
        return self._registry.connected

    @property
    def registry_shortfall(self) -> str:
        """What of the registry is not read, and why; "" for nothing."""
        return self._registry.shortfall

    @property
    def suspects(self) -> Mapping[NodeId, float]:
        """Nodes that are silent though their link is up, and when each was heard last (monotonic
        seconds). The next heartbeat takes a node out."""
        return self._silence.suspects if self._silence is not None else {}

    async def run(self) -> None:
        """Watches until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                if self._silence is not None:
                    group.create_task(self._listen(self._silence), name="silence")
                group.create_task(self._links.run(), name="links")
                group.create_task(self._watch(NODES), name="watch nodes")
                group.create_task(self._watch(ORCHESTRATORS), name="watch orchestrators")
        finally:
            self._group = None

    async def changed(self, since: int) -> int:
        """Returns the version once it is past ``since``: something about the fleet is different, or
        a pause is over."""
        while self._version <= since:
            await self._moved.wait()
        return self._version

    def alarm(self, at: float) -> None:
        """``changed`` will fire soon after ``at`` (monotonic seconds) even if nothing changes."""
        tick = math.ceil(at / TICK_S)
        if self._group is None or tick in self._ticks:
            return
        self._ticks.add(tick)
        self._group.create_task(self._ring(tick), name="alarm")

    @property
    def unlinked(self) -> int:
        """Nodes that have no link now, since they did not answer or for want of room."""
        return self._links.resting

    def need(self, nodes: Iterable[NodeView]) -> None:
        """Somebody waits for one of these: those without a link are dialled before all others, the
        newest record first."""
        ordered = sorted(nodes, key=lambda node: node.record.updated_at, reverse=True)
        self._links.ask(node.record.id for node in ordered)

    def open(self, node: NodeId, attempt: Attempt) -> AttemptStream:
        """Raises ``NodeLost``."""
        return self._links.open(node, attempt)

    def free_slots(self, node: NodeId, model: ModelId) -> int:
        """Slots of the model that this process may try now, by the newest word of the node.

        Its own attempts and the node's count overlap, so the larger of both is taken. A model that
        is cold has all its slots: the attempt is what makes the node load it.
        """
        found = self._view.nodes.get(node)
        load = found.newest(model) if found is not None else None
        if load is None or load.state in (ModelState.LOADING, ModelState.FAILED):
            return 0
        if self._refused.get((node, model), 0.0) > self._clock.now():
            return 0
        for whom in ((node, None), (node, model)):
            if whom in self._probing:
                held = self._held_on(*whom)
                if held > self._probing[whom]:
                    return 0
                self._probing[whom] = held
        return load.slots - max(load.used_slots, self._held.get((node, model), 0))

    @contextmanager
    def hold(self, node: NodeId, model: ModelId) -> Iterator[None]:
        """Counts one own attempt on the node while the context lasts."""
        key = (node, model)
        self._held[key] = self._held.get(key, 0) + 1
        self._view = change.in_flight(self._view, node, 1)
        try:
            with self._links.hold(node):
                yield
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
            self._view = change.in_flight(self._view, node, -1)
            self._bump()

    def refused(self, node: NodeId, model: ModelId, retry_after_s: float | None) -> None:
        """The node had no slot after all: its next heartbeat will say when it has."""
        if node not in self._view.nodes:  # it has left, and nothing forgets it a second time
            return
        pause = retry_after_s or REFUSED_S
        until = self._clock.now() + min(REFUSED_S, max(LEAST_REFUSED_S, pause))
        self._refused[(node, model)] = until
        self.alarm(until)

    def failed(self, node: NodeId, reason: str, model: ModelId | None = None) -> None:
        """Sets the node, or ``model`` on it alone, aside at once, for a decorrelated back-off: each
        pause is drawn between the base and three times the last one (Brooker, "Exponential Backoff
        And Jitter", AWS 2015). The first request after the pause is the probe, and alone until the
        node has accepted it. Failures during a pause are of the same cause, several streams on one
        node that died for example, and do not lengthen it. One that has left meanwhile is
        forgotten already, and owes nothing when it is back."""
        if node not in self._view.nodes:
            return
        whom = (node, model)
        self._probing.setdefault(whom, self._held_on(node, model))
        if model is not None:
            self._model_failed(node, model, reason)
            return
        # From now on it is this verdict that holds, and not that the node is silent.
        suspect = self._silence is not None and self._silence.suspects.pop(node, None) is not None
        seen = self._view.nodes.get(node)
        aside = seen.set_aside_until if seen is not None else None
        if aside is not None and aside > self._clock.now() and not suspect:
            return
        pause = self._pause(whom)
        log.warning("node %s set aside for %.2f s: %s", self.name(node), pause, reason)
        self._aside(whom, pause, reason)

    def _model_failed(self, node: NodeId, model: ModelId, reason: str) -> None:
        seen = self._view.nodes.get(node)
        aside = seen.models_aside.get(model) if seen is not None else None
        if aside is not None and aside[0] > self._clock.now():
            return
        pause = self._pause((node, model))
        log.warning(
            "model %s on node %s set aside for %.2f s: %s", model, self.name(node), pause, reason
        )
        self._aside((node, model), pause, reason)

    def _pause(self, whom: tuple[NodeId, ModelId | None]) -> float:
        last = self._last_pause.get(whom, SET_ASIDE_BASE_S)
        pause = decorrelated(last, base_s=SET_ASIDE_BASE_S, cap_s=SET_ASIDE_CAP_S, rng=self._rng)
        self._last_pause[whom] = pause
        return pause

    def _aside(self, whom: tuple[NodeId, ModelId | None], pause: float, reason: str) -> None:
        until = self._clock.now() + pause
        self._view = change.set_aside(self._view, whom[0], until, reason, whom[1])
        self.alarm(until)
        self._bump()

    def accepted(self, node: NodeId, model: ModelId) -> None:
        """It took an attempt, so what set it aside is over, as far as anyone can tell."""
        for whom in ((node, None), (node, model)):
            if self._probing.pop(whom, None) is not None:
                self._bump()

    def succeeded(self, node: NodeId, model: ModelId) -> None:
        """Takes an earlier verdict back."""
        for whom in ((node, None), (node, model)):
            if self._last_pause.pop(whom, None) is not None:
                self._view = change.set_aside(self._view, node, None, "", whom[1])
                self._bump()

    def name(self, node: NodeId) -> str:
        return self._view.name(node)

    def _held_on(self, node: NodeId, model: ModelId | None = None) -> int:
        if model is not None:
            return self._held.get((node, model), 0)
        return sum(count for (where, _), count in self._held.items() if where == node)

    async def _watch(self, prefix: str) -> None:
        async for changes in self._registry.watch(prefix):
            for portion in change.portions(self._kept(changes)):
                self._apply(portion)
                await asyncio.sleep(0)

    async def _ring(self, tick: int) -> None:
        await self._clock.sleep(tick * TICK_S - self._clock.now())
        self._ticks.discard(tick)
        self._bump()

    def _apply(self, changes: Sequence[Change]) -> None:
        before = self._view
        now = self._clock.now()
        self._view, problems = change.apply(before, changes, now)
        for line in self._complaints.lines(problems, now):
            log.warning("%s", line)
        for node in {NodeId(each.key.removeprefix(NODES)) for each in changes}:
            seen, old = self._view.nodes.get(node), before.nodes.get(node)
            if seen is None:
                if old is not None:
                    self._forget(node)
                continue
            if old is not None and old.record.instance != seen.record.instance:
                self._pardon(self._probing, node)  # a new start owes nothing to the old one's
            moved = old is None or old.record.endpoint != seen.record.endpoint
            # A record that is written anew is a sign of life: who rests has its turn sooner.
            if moved or self._links.rests(node):
                self._links.want(seen.record)
            if moved and self._links.tries(node):
                # A record that came back may find its link still standing, or gone to elsewhere.
                self._view = change.link(self._view, node, self._links.up(node), now)
            elif moved:
                self._view = change.unlinked(self._view, node)
        self._bump()

    def _kept(self, changes: tuple[Change, ...]) -> list[Change]:
        """Without the deletions of nodes that still answer: the registry lost them, the data plane
        did not, and it knows better. They go when their link does."""
        kept: list[Change] = []
        for item in changes:
            node = NodeId(item.key.removeprefix(NODES))
            match item:
                case Delete(key=key) if key.startswith(NODES) and self._links.up(node):
                    self._outlived.add(node)
                    continue
                case Put():
                    self._outlived.discard(node)
                case _:
                    pass
            kept.append(item)
        return kept

    def _heard(self, heartbeat: Heartbeat) -> None:
        for load in heartbeat.models:
            self._refused.pop((heartbeat.node, load.model), None)
        now = self._clock.now()
        if self._silence is not None and self._silence.heard(heartbeat.node, now):
            log.info("node %s is heard again", self.name(heartbeat.node))
            self._view = change.set_aside(self._view, heartbeat.node, None, "")
        self._view = change.heard(self._view, heartbeat, now)
        self._bump()

    def _linked(self, node: NodeId, up: bool) -> None:
        log.info("link to node %s is %s", self.name(node), "up" if up else "down")
        self._view = change.link(self._view, node, up, self._clock.now())
        if not up and self._silence is not None and self._silence.forget(node):
            self._view = change.set_aside(self._view, node, None, "")
        if not up and node in self._outlived:
            self._outlived.discard(node)
            self._apply([Delete(f"{NODES}{node}")])
        self._bump()

    def _rests(self, node: NodeId, failed: bool) -> None:
        """It has no link for now. Only one that was dialled in vain counts as out of reach."""
        if self._silence is not None:
            self._silence.forget(node)
        if failed:
            self._view = change.link(self._view, node, False, self._clock.now())
        else:
            self._view = change.unlinked(self._view, node)
            self._bump()

    async def _listen(self, silence: Silence) -> None:
        """Sets nodes aside that fell silent, until they are heard again or their link goes down."""
        pause = silence.after_s / LOOKS
        while True:
            before = self._clock.now()
            await self._clock.sleep(pause)
            now = self._clock.now()
            for node in silence.fallen(now, late_s=now - before - pause):
                why = f"nothing heard for {now - silence.suspects[node]:.1f} s"
                log.warning("node %s: %s", self.name(node), why)
                self._view = change.set_aside(self._view, node, now + SET_ASIDE_CAP_S, why)
                self._view = change.silent(self._view, node, now)
                self._bump()

    def _forget(self, node: NodeId) -> None:
        self._links.release(node)
        self._pardon(self._last_pause, node)
        self._pardon(self._probing, node)
        if self._silence is not None:
            self._silence.forget(node)
        for key in [key for key in self._refused if key[0] == node]:
            del self._refused[key]

    def _pardon(self, what: dict[tuple[NodeId, ModelId | None], Any], node: NodeId) -> None:
        for whom in [whom for whom in what if whom[0] == node]:
            del what[whom]

    def _bump(self) -> None:
        self._version += 1
        self._moved.set()
        self._moved = asyncio.Event()

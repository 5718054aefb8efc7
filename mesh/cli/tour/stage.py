"""The third act: an answer, and in the middle of it the process that makes it is killed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

from mesh.cli.tour.story import Seam, Story
from mesh.client.client import Client
from mesh.client.stream import EventStream
from mesh.clock import Clock
from mesh.errors import ConfigError, InvalidRequest, NoCandidate
from mesh.fleet.records import NodeRecord
from mesh.local.node_process import NodeProcess
from mesh.stream import Assigned, FleetStatus, Tokens, Waiting

KILL_AFTER = 20  # tokens: the sentence has begun, and is far from its end


class View(Protocol):
    """Who shows it."""

    def text(self, text: str) -> None: ...

    def seam(self, seam: Seam) -> None: ...

    def waiting(self, why: str) -> None: ...

    def end(self) -> None: ...


Identify = Callable[[NodeRecord], NodeProcess]


async def play(
    events: EventStream, fleet: FleetStatus, view: View, identify: Identify, clock: Clock
) -> tuple[Story, NodeRecord | None]:
    """What came, and who was killed; None: it ended before. ``identify`` raises ``ConfigError`` for
    a node that may not be killed: then the answer is given up and nothing is.

    Raises what the stream raises.
    """
    story, target, killed = Story(), None, None
    try:
        async with contextlib.aclosing(events):
            async for event in events:
                seam = story.take(event, clock.now())
                match event:
                    case Assigned() if killed is None:
                        if target is not None:  # it is another's answer now
                            target.close()
                            target = None
                        record = _record(fleet, event)
                        target = identify(record)
                    case Tokens(pieces=pieces):
                        if seam is not None:
                            view.seam(seam)
                        view.text("".join(piece.text for piece in pieces))
                        if target is not None and killed is None and story.tokens >= KILL_AFTER:
                            target.kill()
                            killed = record
                    case Waiting(why=why):
                        view.waiting(why)
                    case _:
                        pass
    finally:
        if target is not None:
            target.close()
        view.end()
    return story, killed


async def two_homes(client: Client, prompt: str) -> None:
    """Raises ``NoCandidate`` where an answer would have nobody to go on with it, ``InvalidRequest``
    for a prompt that no node is asked."""
    route = await client.route(prompt, cacheable=False)
    if route.ready is not None:
        raise InvalidRequest("the mesh answers that without a node; give it another --prompt")
    homes = [each for each in route.candidates if each.eligible]
    if len({each.node for each in homes}) < 2:
        who = f"{homes[0].node_name} alone" if homes else "no node"
        raise NoCandidate(
            f"{who} can take a question of specialty {route.decision.specialty}, and to go on when "
            "a node dies takes two; see `mesh status`"
        )


def _record(fleet: FleetStatus, assigned: Assigned) -> NodeRecord:
    for node in fleet.nodes:
        if node.record.id == assigned.node:
            return node.record
    raise ConfigError(f"node {assigned.node_name} has just come: try again")

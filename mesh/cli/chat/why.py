"""`/why`: the decision of the last answer, as `mesh route` shows one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mesh.cli.answer import decided_by
from mesh.cli.chat.asking import Door
from mesh.cli.chat.saved import Turn
from mesh.cli.chat.state import State
from mesh.cli.chat.view import View
from mesh.cli.route_screen import show
from mesh.errors import MeshError
from mesh.types import Decision, Message, Role, Specialty

_REQUESTED = "requested"


async def why(door: Door, state: State, view: View) -> None:
    """What was decided then, and who would be asked now."""
    turn = state.chat.turns[-1]
    decision = state.decision or _kept(turn)
    before = replace(state.chat, turns=state.chat.turns[:-1]).messages
    try:
        client = await door.client()
        found = await client.route(
            (*before, Message.of(Role.USER, turn.prompt)), **_named(state, turn)
        )
    except MeshError as error:
        view.say(decided_by(decision))
        view.say(f"who would be asked now cannot be told: {error.message}")
        return
    if turn.node:
        view.say(f"answered by {turn.node} with {turn.model}; who would be asked now is below")
    if found.decision.specialty == decision.specialty:
        ready = found.ready if found.ready and found.ready.source == turn.stage else None
        show(replace(found, decision=decision, ready=ready))
        return
    show(replace(found, decision=decision, candidates=(), ready=None))
    view.say("now it would be decided otherwise:")
    show(found)


def _kept(turn: Turn) -> Decision:
    """What of it was kept with the conversation."""
    return Decision(
        specialty=Specialty(turn.specialty), stage=turn.stage, rule=turn.rule, confidence=0.0
    )


def _named(state: State, turn: Turn) -> dict[str, Any]:
    if turn.stage != _REQUESTED:
        return {}
    if state.chat.model == turn.model:
        return {"model": turn.model}
    return {"specialty": turn.specialty}

"""A conversation with a whole orchestrator: decided turn by turn, and on one node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import mesh as squadron
from mesh import Client, Route
from mesh.errors import CannotAnswer
from mesh.settings.router import RouterSettings
from mesh.types import ModelId
from tests.mesh.fakes import Mesh, orchestrator
from tests.mesh.scripted import CHAT, refuse, words

STAGES = RouterSettings(stages=("rules", "conversation"), substitutes={"sums": "math"})
SUM = "what is 1 + 1?"


@asynccontextmanager
async def served(**nodes: dict[str, Any]) -> AsyncIterator[tuple[Mesh, Client]]:
    async with Mesh() as mesh:
        for name, given in nodes.items():
            await mesh.node(name, **given)
        async with (
            orchestrator(mesh, router=STAGES) as whole,
            squadron.connect(whole.endpoint) as client,
        ):
            yield mesh, client


async def test_a_follow_up_has_its_conversations_specialty_and_its_node() -> None:
    async with served(a={}, b={}, c={}, chat={"specialties": (CHAT,)}) as (_, client):
        talk = client.conversation()
        first = talk.generate(SUM)
        assert await first.text() == words(10)
        for text in ("and for 12?", "why?", "explain it again"):
            turn = talk.generate(text)
            assert await turn.text() == words(10)
            assert turn.decision is not None
            assert turn.done is not None
            assert first.done is not None
            assert (turn.decision.specialty, turn.decision.stage) == ("math", "conversation")
            assert turn.done.node == first.done.node
        # The same words say nothing where nothing was said before them.
        alone = await client.route("and for 12?")
        assert (alone.decision.specialty, alone.decision.stage) == ("chat", "fallback")
        assert alone.prior is None


async def test_a_dry_run_knows_the_conversation_so_far() -> None:
    async with served(a={}) as (_, client):
        messages = [
            {"role": "user", "content": SUM},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "and for 12?"},
        ]
        route = await client.route(messages)
        (many,) = [each async for each in client.route_many([messages])]
    assert route.prior == "math"
    assert route.decision.rule == "elliptic"
    assert [verdict.stage for verdict in route.decision.verdicts] == ["rules", "conversation"]
    assert isinstance(many, Route)
    assert (many.prior, many.decision.rule) == ("math", "elliptic")


async def test_a_specialty_asked_for_by_name_has_its_substitute_and_a_model_has_none() -> None:
    tools = {"specialties": ("sums",), "model": ModelId("tools")}
    async with served(t=tools, a={}) as (mesh, client):
        mesh.nodes["t"].scripts = [refuse("cannot_answer", "not a sum")] * 2
        answer = client.generate("x", specialty="sums")
        assert await answer.text() == words(10)
        assert answer.done is not None
        assert answer.done.node_name == "a"
        with pytest.raises(CannotAnswer, match="not a sum"):
            await client.generate("x", model="tools").text()

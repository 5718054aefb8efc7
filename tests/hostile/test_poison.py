"""Requests that engines are lost to, at the client's and the direct door, on real processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

import mesh
from mesh import Client
from mesh.errors import InvalidRequest, MeshError, Quarantined
from mesh.fleet.records import ModelState
from mesh.types import ModelId
from tests.faults.real_mesh import Box
from tests.integration.test_form_trials import GROWING, HIDDEN
from tests.residence import ask, residence, runs, seen, specialist

pytestmark = [pytest.mark.processes, pytest.mark.engine, pytest.mark.timeout(240)]

# A schema whose pattern is the same trap, and forms that are none at all.
FORMS: dict[str, tuple[dict[str, Any], str]] = {
    "ways that multiply": ({"grammar": GROWING}, "limit"),
    "hidden left recursion": ({"grammar": HIDDEN}, "limit"),
    "ways that multiply, in a repetition": (
        {"grammar": 'root ::= ([a-z] root "b" | [a-z] root "c" | "x") " "?\n'},
        "limit",
    ),
    "no rule": ({"grammar": "root ::= nobody"}, "no rule is called"),
    "a schema that refers to itself": (
        {"json_schema": json.dumps({"$ref": "#/x", "x": {"$ref": "#/x"}})},
        "left recursion",
    ),
}


@asynccontextmanager
async def box(folder: Path) -> AsyncIterator[tuple[Box, Client, str]]:
    """And where its orchestrator is."""
    async with residence(folder, [specialist("chat"), specialist("code")]) as (made, node, client):
        await seen(client, lambda m: all(each.state is ModelState.RESIDENT for each in m.values()))
        yield node, client, made.endpoints[0]


async def refused(client: Client, **form: Any) -> tuple[MeshError, float]:
    """The error, and the seconds until it came."""
    began = perf_counter()
    with pytest.raises(MeshError) as error:
        await client.generate(
            "Tell me a story.", model=ModelId("chat"), max_tokens=40, timeout_s=60.0, **form
        ).text()
    return error.value, perf_counter() - began


async def test_no_form_costs_a_runner_and_the_third_time_is_refused_at_the_door(
    tmp_path: Path,
) -> None:
    async with box(tmp_path) as (node, client, endpoint):
        before = {p.pid for p in node.runners() if runs(p)}
        assert len(before) == 2
        for name, (form, why) in FORMS.items():
            first, _ = await refused(client, **form)
            assert isinstance(first, InvalidRequest), name
            assert first.code == "invalid_request", name
            assert why in first.message, name
            await refused(client, seed=2, **form)
            third, took = await refused(client, seed=3, temperature=0.5, **form)
            if why == "limit":
                assert isinstance(third, Quarantined), name
                assert third.retry_after_s is not None, name
                assert took < 0.2, name  # 5 ms on a box that has nothing else to do
            else:
                assert isinstance(third, InvalidRequest), name
            text, _ = await ask(client, "code")
            assert text, name
        async with mesh.connect(endpoint, direct=True) as straight:
            form = {"grammar": f"{GROWING}# straight from the node"}
            # What a node says there an orchestrator is asked about, too: that may be the second.
            first, _ = await refused(straight, **form)
            assert isinstance(first, InvalidRequest | Quarantined)
            await refused(straight, **form)
            assert isinstance((await refused(straight, **form))[0], Quarantined)
        assert {p.pid for p in node.runners() if runs(p)} == before


async def test_others_go_on_while_a_form_is_tried(tmp_path: Path) -> None:
    async with box(tmp_path) as (_, client, _), asyncio.TaskGroup() as group:
        trial = group.create_task(refused(client, grammar=GROWING))
        answered = 0
        while not trial.done():
            await ask(client, "chat")
            answered += 1
        assert answered > 1
        assert isinstance((await trial)[0], InvalidRequest)

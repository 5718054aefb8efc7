"""A node that hosts the exact tools: it answers what it is sure of, and a model gets the rest."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from mesh.fleet.records import ModelState
from mesh.local.ports import free_port
from tests.etcd import EtcdServer
from tests.integration.test_orchestrator_process import connected, process

START_S = 60.0
RULES = """
[[rules]]
name = "sums"
specialty = "calculator"
pattern = 'sum'
"""


@pytest.mark.processes
@pytest.mark.timeout(120)
async def test_what_a_tools_node_cannot_answer_goes_on_to_the_specialtys_substitute(
    tmp_path: Path,
) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    endpoint = f"127.0.0.1:{free_port()}"
    tools = {"source": "tools", "engine": "tools", "specialties": ["calculator"]}
    model = {
        "source": "simulated",
        "id": "sim",
        "engine": "simulated",
        "specialties": ["math"],
        "options": {"words": 5},
    }
    async with EtcdServer() as etcd:
        common: dict[str, Any] = {"state_dir": str(tmp_path), "etcd": etcd.endpoint}
        orchestrator = common | {
            "name": "o",
            "bind": endpoint,
            "rules": str(tmp_path / "rules.toml"),
            "router": {"stages": ["rules"]},  # the node shall answer, not the orchestrator
        }
        nodes = [
            common | {"name": "tools", "models": [tools]},
            common | {"name": "model", "models": [model]},
        ]
        async with (
            process("-m", "node", json.dumps(nodes[0]), log=tmp_path / "tools.log"),
            process("-m", "node", json.dumps(nodes[1]), log=tmp_path / "model.log"),
            process("-m", "orchestrator", json.dumps(orchestrator), log=tmp_path / "o.log"),
            aclosing(await connected(endpoint)) as client,
        ):
            await _served(client, {"tools", "model"})
            sure = client.generate("the sum of 3, 4 and 5")
            assert await sure.text() == "12"
            assert sure.done is not None
            assert (sure.done.node_name, sure.done.model) == ("tools", "tools")
            unsure = client.generate("how do people learn to sum things up?")
            assert await unsure.text()
            assert unsure.done is not None
            assert unsure.decision is not None
            assert (unsure.decision.specialty, unsure.done.node_name) == ("calculator", "model")


async def _served(client: Any, names: set[str]) -> None:
    """Returns once the orchestrator would use the nodes of these names."""
    async with asyncio.timeout(START_S):
        while True:
            ready = {
                status.record.name
                for status in await client.nodes()
                if status.link_up
                and any(model.state is ModelState.RESIDENT for model in status.record.models)
            }
            if names <= ready:
                return
            await asyncio.sleep(0.05)

"""The promise of docs/engines.md: an engine of somebody else's, and not a line of ours changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.fleet.records import NodeState
from mesh.transport.base import Finished, Tokens
from mesh.types import Sampling
from tests import toy_engine
from tests.etcd import EtcdServer
from tests.node_fakes import attempt
from tests.node_process_rig import linked, node, watching

pytestmark = pytest.mark.processes


async def test_an_engine_of_somebody_elses_is_planned_loaded_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_engine.install(tmp_path / "site", monkeypatch)
    (tmp_path / "polly.words").write_text("hello there")
    polly = {"source": str(tmp_path / "polly.words"), "engine": "parrot", "specialties": ["math"]}
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path / "node", etcd.endpoint, models=[polly]) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        (told,) = record.models
        assert (told.engine, told.architecture, told.context_length) == ("parrot", "parrot", 1024)
        assert told.estimated_bytes > 4 * 2**20
        async with linked(record) as peer:
            events = await peer.ask(attempt(model=told.id, sampling=Sampling(max_tokens=3)))
        said = [piece.text for e in events if isinstance(e, Tokens) for piece in e.pieces]
        assert "".join(said) == "hello there hello "
        assert isinstance(events[-1], Finished)

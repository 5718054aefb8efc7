"""A node that pulls a model says how far it is, and takes no work for it meanwhile."""

from __future__ import annotations

import asyncio
import threading

from mesh.fleet.records import ModelState
from mesh.settings.model import ModelSettings
from mesh.types import ModelId
from node.engines.base import ModelSpec
from node.models.hosted import HostedModel
from node.models.prepared import Percent, Prepared
from tests.node_fakes import FakeRunner


async def test_a_download_is_told_as_the_share_of_a_load() -> None:
    began, may_end, changed = threading.Event(), threading.Event(), asyncio.Event()

    def prepare(
        settings: ModelSettings, model: ModelId, threads: int, percent: Percent | None
    ) -> Prepared:
        assert percent is not None
        percent(45)
        began.set()
        may_end.wait(10)
        return Prepared(spec=ModelSpec(id=model, source="m", slots=1, context_length=8, threads=1))

    model = HostedModel(
        ModelSettings(source="hf:a/b", specialties=("chat",), engine="simulated"),
        default_threads=1,
        make_runner=lambda engine, spec, changed: FakeRunner(spec, changed),
        on_change=changed.set,
        prepare=prepare,
    )
    task = asyncio.ensure_future(model.run())
    try:
        await asyncio.to_thread(began.wait, 10)
        now = model.load_now()
        assert (now.state, now.load_percent) == (ModelState.LOADING, 45)
        may_end.set()
        await asyncio.wait_for(changed.wait(), 10)
        assert model.prepared is not None
        assert model.load_percent != 45
    finally:
        may_end.set()
        task.cancel()

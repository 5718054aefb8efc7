"""Who waits in vain hears what is wrong with the models that were waited for."""

from __future__ import annotations

import pytest

from mesh.errors import DeadlineExceeded
from mesh.fleet.records import ModelState
from tests.mesh.fakes import Mesh, request
from tests.mesh.scripted import refuse


async def test_a_model_whose_upstream_is_away_is_the_reason_when_time_is_up() -> None:
    why = "the upstream cannot be reached: Connection refused; is it up?"
    async with Mesh() as mesh:
        await mesh.node("a", model_state=ModelState.LOADING, model_error=why)
        with pytest.raises(DeadlineExceeded) as caught:
            await mesh.collect(request(), timeout_s=0.1)
    assert f"; a: model 'toy': {why}" in caught.value.message
    assert "no slot came free" in caught.value.message


async def test_a_node_that_refuses_until_time_is_up_is_quoted() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        node.scripts = [refuse("overloaded", "slow down (429)", retry_after_s=0.02)] * 100
        with pytest.raises(DeadlineExceeded, match=r"the last refusal was a: slow down \(429\)"):
            await mesh.collect(request(), timeout_s=0.2)
    assert node.attempts

"""What a gateway calls, and how errors leave it."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import InvalidRequest
from orchestrator.answering.admit import Door
from orchestrator.api import Api
from tests.answering_rig import ID, ask


@pytest.mark.parametrize("call", ["route", "ticket"])
async def test_an_error_of_a_dry_run_leaves_with_the_id_of_its_request(call: str) -> None:
    nobody: Any = None
    api = Api(
        nobody,
        fleet=nobody,
        dispatch=nobody,
        embedder=nobody,
        decider=nobody,
        door=Door(1),
        tickets=nobody,
        clock=nobody,
        default_timeout_s=1.0,
        max_request_bytes=1000,
    )
    with pytest.raises(InvalidRequest) as caught:
        await getattr(api, call)(ask(" ").request)
    assert caught.value.request_id == ID

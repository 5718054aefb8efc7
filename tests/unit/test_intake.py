"""A large request as it comes in: few at a time, so none may take for ever over it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.budget import Budget
from mesh.errors import DeadlineExceeded
from mesh.protobuf import intake
from mesh.protobuf.intake import LARGE_AT_ONCE, SMALL_BYTES, Intake
from mesh.protobuf.metadata import REQUEST_BYTES
from mesh.v1 import mesh_pb2 as pb

SIZE = 2 * SMALL_BYTES


class Dripping:
    """gRPC's context of a call that sends a byte at a time, each soon enough."""

    def invocation_metadata(self) -> Any:
        return ((REQUEST_BYTES, str(SIZE)),)

    def time_remaining(self) -> None:
        return None

    async def send_initial_metadata(self, _: Any) -> None:
        pass

    async def read(self) -> bytes:
        await asyncio.sleep(0.005)
        return b"x"


async def test_who_drips_a_large_request_does_not_keep_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "CHUNK_S", 0.05)
    monkeypatch.setattr(intake, "LEAST_BYTES_S", SIZE * 20)
    budget = Budget(100 * SIZE)
    here = Intake(budget, limit_bytes=2 * SIZE, who="it")

    async def ask() -> None:
        async with here.held(Dripping()) as held:
            await held.message(pb.GenerateRequest)

    async with asyncio.timeout(5.0):
        told = await asyncio.gather(
            *(ask() for _ in range(2 * LARGE_AT_ONCE)), return_exceptions=True
        )
    assert [type(each) for each in told] == [DeadlineExceeded] * 2 * LARGE_AT_ONCE
    assert "send it faster" in str(told[0])
    assert budget.held == 0

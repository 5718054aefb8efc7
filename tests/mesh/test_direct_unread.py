"""A client with a ticket that reads nothing: its runner stops, and its slot is given back."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from mesh.protobuf.flow import WINDOW_PIECES
from mesh.protobuf.metadata import ACKNOWLEDGES, ERROR_CODE
from mesh.security.tickets import Signer
from mesh.v1 import mesh_pb2 as pb
from mesh.v1 import mesh_pb2_grpc
from node.serve import direct
from tests.direct_rig import OPENED, real_node, trusted, words_from
from tests.mesh.fakes import Mesh, until

STEP = 32


async def test_an_unread_answer_stops_at_the_window_and_frees_its_slot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "UNREAD_S", 0.3)
    pieces = [words_from(first, STEP) for first in range(0, 8 * WINDOW_PIECES, STEP)]
    async with Mesh() as mesh, real_node(mesh, tmp_path, script=(OPENED, *pieces)) as node:
        signer = Signer.generate()
        trusted(node, signer)
        request = pb.DirectRequest(
            ticket=signer.sign(node.ticket()),
            request=pb.GenerateRequest(
                messages=[pb.Message(role="user", content="1 + 1?")],
                sampling=pb.Sampling(max_tokens=1000),
            ),
        )
        async with grpc.aio.insecure_channel(node.record().direct_endpoint) as channel:
            stub = mesh_pb2_grpc.DirectStub(channel)  # type: ignore[no-untyped-call]
            call = stub.Generate(request, metadata=((ACKNOWLEDGES, "0" * 32),), timeout=20.0)
            await call.read()
            await until(lambda: node.runner.used_slots == 0, "its slot is free")
            came: list[int] = []

            async def read_on() -> None:
                while True:
                    came.extend((await call.read()).tokens.ids)

            with pytest.raises(grpc.aio.AioRpcError) as ended:
                await read_on()
            assert 0 < len(came) <= WINDOW_PIECES
            assert dict(ended.value.trailing_metadata() or ())[ERROR_CODE] == "unread"
            assert "has not read its answer" in (ended.value.details() or "")

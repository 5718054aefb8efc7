"""Another gateway is a folder of its own and an entry point, and nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import ConfigError
from mesh.settings.orchestrator import OrchestratorSettings
from orchestrator.gateway.base import opened
from tests.mesh.fakes import Mesh, orchestrator
from tests.mesh.scripted import words

TOY = '''
"""A line in, words out: the whole of a gateway."""
import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from mesh.errors import MeshError
from mesh.stream import Done, Tokens
from mesh.types import Message, Request, RequestId, Role
from orchestrator.gateway.base import GatewaySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    bind: str = "127.0.0.1"
    shout: bool = False

    def check(self, where):
        pass


class LineGateway:
    def __init__(self, api, settings):
        self._api, self._settings, self._ended = api, settings, asyncio.Event()

    def bind(self):
        import socket

        self._socket = socket.create_server((self._settings.bind, 0))
        return "%s:%d" % self._socket.getsockname()

    async def run(self):
        async with await asyncio.start_server(self._serve, sock=self._socket):
            await self._ended.wait()

    async def stop(self, drain_s):
        self._ended.set()

    async def _serve(self, reader, writer):
        text = (await reader.readline()).decode().strip()
        request = Request(id=RequestId("1" * 32), messages=(Message.of(Role.USER, text),))
        try:
            async with aclosing(self._api.generate(self._api.ask(request))) as events:
                async for event in events:
                    match event:
                        case Tokens(pieces=pieces):
                            said = "".join(piece.text for piece in pieces)
                            writer.write((said.upper() if self._settings.shout else said).encode())
                        case Done(node_name=name):
                            writer.write(f"-- {name}".encode())
        except MeshError as error:
            writer.write(f"!! {error.code}".encode())
        writer.close()


GATEWAY = GatewaySpec(settings=LineSettings, make=lambda api, _, own: LineGateway(api, own))
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution with one module and one entry point, as pip would leave it."""
    (tmp_path / "line_gateway.py").write_text(TOY)
    (tmp_path / "lacking_gateway.py").write_text("import a_package_that_is_nowhere")
    (tmp_path / "other_gateway.py").write_text("GATEWAY = 'no spec'")
    info = tmp_path / "line_gateway-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: line-gateway\nVersion: 1.0\n")
    names = ("line", "lacking", "other")
    points = "".join(f"{name} = {name}_gateway:GATEWAY\n" for name in names)
    (info / "entry_points.txt").write_text(f"[squadron.gateways]\n{points}")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in names:
        sys.modules.pop(f"{name}_gateway", None)


async def said(endpoint: str, line: str) -> str:
    host, _, port = endpoint.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{line}\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


async def test_another_gateway_is_one_folder_and_an_entry_point(installed: None) -> None:
    tables: dict[str, Any] = {"gateways": ("line", "grpc"), "gateway": {"line": {"shout": True}}}
    async with Mesh() as mesh:
        await mesh.node("a")
        async with orchestrator(mesh, **tables) as whole:
            answer = await said(whole.endpoint, "what is 1 + 1?")
            refused = await said(whole.endpoint, "")
    assert answer == words(10).upper() + "-- a"
    assert refused == "!! invalid_request"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"gateways": ("carrier_pigeon",)}, "unknown gateway 'carrier_pigeon'; known: .*grpc"),
        ({"gateway": {"http2": {}}}, "unknown gateway 'http2'; known: .*grpc"),
        ({"gateway": {"grpc": {"bimd": "x"}}}, r"gateway\.grpc: unknown key 'bimd'"),
    ],
)
def test_a_gateway_that_is_not_there_is_refused_by_name(given: dict[str, Any], says: str) -> None:
    settings = replace(OrchestratorSettings(name="o"), **given)
    with pytest.raises(ConfigError, match=says):
        opened(None, settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"gateways": ("lacking",)}, "'lacking'.*a_package_that_is_nowhere.*install"),
        ({"gateways": ("other",)}, "'other'.*is no GatewaySpec"),
        ({"gateway": {"line": {"shuot": True}}}, r"gateway\.line: unknown key 'shuot'"),
    ],
)
def test_one_that_cannot_be_opened_is_told_by_its_name_or_key(
    installed: None, given: dict[str, Any], says: str
) -> None:
    settings = replace(OrchestratorSettings(name="o"), **given)
    with pytest.raises(ConfigError, match=says):
        opened(None, settings)  # type: ignore[arg-type]

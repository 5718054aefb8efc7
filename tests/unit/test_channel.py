"""Every gRPC channel comes from one maker, and asks no proxy that the environment names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from mesh.channel import Keepalive, channel_options, open_channel

ROOT = Path(__file__).parents[2]
MAKER = "mesh/channel.py"
# A library that makes its own is given `channel_options`; nobody else may name what makes one.
LIBRARIES = {
    "Client": "mesh/registry/etcd_client.py",
    "OTLPSpanExporter": "mesh/telemetry/tracing.py",
}
MAKERS = {"insecure_channel", "secure_channel", "intercept_channel", "OTLPSpanExporter"}
PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def makers() -> Iterator[tuple[str, str, ast.Call]]:
    """Each call that makes a channel: its file, the name called, the call."""
    for top in ("mesh", "node", "orchestrator"):
        for path in sorted((ROOT / top).rglob("*.py")):
            place = str(path.relative_to(ROOT))
            if place.startswith("mesh/v1/"):
                continue  # generated
            for item in ast.walk(ast.parse(path.read_text())):
                if not isinstance(item, ast.Call):
                    continue
                match item.func:
                    case ast.Attribute(attr=name) | ast.Name(id=name) if name in MAKERS:
                        yield place, name, item
                    case ast.Attribute(value=ast.Name(id="aetcd"), attr="Client" as name):
                        yield place, name, item


def test_one_place_makes_channels_and_libraries_are_given_its_options() -> None:
    found = list(makers())
    assert {name for _, name, _ in found} == {"insecure_channel", *LIBRARIES}
    for place, name, call in found:
        assert place == LIBRARIES.get(name, MAKER), f"{place} makes a channel of its own"
        if name in LIBRARIES:
            assert "channel_options(" in ast.unparse(call)


def test_all_channels_have_the_same_options_but_for_what_was_said() -> None:
    usual = dict(channel_options())
    assert usual["grpc.enable_http_proxy"] == 0
    assert usual["grpc.keepalive_timeout_ms"] == usual["grpc.http2.ping_timeout_ms"]
    pings = Keepalive(every_ms=500, timeout_ms=1_000, unbidden=True)
    other = dict(channel_options(receive_bytes=7, keepalive=pings))
    changed = {key: value for key, value in other.items() if usual.get(key) != value}
    assert changed == {
        "grpc.max_receive_message_length": 7,
        "grpc.keepalive_time_ms": 500,
        "grpc.keepalive_timeout_ms": 1_000,
        "grpc.http2.ping_timeout_ms": 1_000,
        "grpc.http2.max_pings_without_data": 0,
    }


@pytest.mark.parametrize("variable", PROXIES)
async def test_a_proxy_of_the_environment_is_not_asked(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody answers there
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with open_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/none/None")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(b"", timeout=5)
    await server.stop(None)
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED, "the server itself answered"

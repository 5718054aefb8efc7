"""Settings files of a node and of an orchestrator."""

from __future__ import annotations

from mesh.errors import ConfigError
from mesh.settings.load import MAX_FILE_BYTES, load, plain
from mesh.settings.node import NodeSettings
from mesh.settings.orchestrator import OrchestratorSettings
from mesh.settings.shipped import shipped
from mesh.settings.toml import read_toml
from orchestrator.router.chosen import choose


def _uncommented(name: str) -> bytes:
    """With every example in force."""
    lines = shipped(name).read_bytes().splitlines()
    return b"\n".join(line.removeprefix(b"# ") if b" = " in line else line for line in lines)


SEEDS: tuple[bytes, ...] = (
    shipped("node.example.toml").read_bytes(),
    shipped("orchestrator.example.toml").read_bytes(),
    _uncommented("orchestrator.example.toml"),
    b'name = "n"\netcd = "127.0.0.1:2379"\nvram_limit_bytes = 8_000_000_000\n'
    b'[[models]]\nsource = "simulated"\nengine = "simulated"\nspecialties = ["math"]\n'
    b"[models.options]\nwords = 10\n",
    b'name = "o"\nbind = "127.0.0.1:0"\nrequest_limit = 5\n[router]\nstages = ["memo", "exact"]\n'
    b"[router.exact]\ntimeout_ms = 300.0\n[router.memo]\nttl_s = 1e3\n[timing]\n"
    b"heartbeat_s = 0.5\n",
    b"a = [[[[{b = 0x7f, c = inf, d = 1979-05-27T07:32:00Z}]]]]\n",
)
choose(load(OrchestratorSettings, {"name": "n"}).router)  # loads the stages, once
EXPECTED: tuple[type[Exception], ...] = (ConfigError,)


def decode(data: bytes) -> None:
    found = read_toml(data, MAX_FILE_BYTES)
    refused: ConfigError | None = None
    for kind in (NodeSettings, OrchestratorSettings):
        try:
            settings = load(kind, found)
            if isinstance(settings, OrchestratorSettings) and settings.router.tables:
                choose(settings.router)
            plain(settings)
        except ConfigError as error:
            refused = error
    if refused is not None:
        raise refused

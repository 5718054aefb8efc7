"""A web proxy in the environment, where nobody answers: a mesh has nothing to do with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.local_mesh import box

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

NOBODY = "http://127.0.0.1:9"


def test_a_mesh_comes_up_answers_and_goes_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(name, NOBODY)
        monkeypatch.setenv(name.upper(), NOBODY)
    for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with box(tmp_path / "state") as home:
        started = home.mesh("up", "--detach", "--engine", "simulated", "--nodes", "1")
        assert started.returncode == 0, started.stdout + started.stderr
        for command in (["ask", "hello"], ["status"], ["down"]):
            done = home.mesh(*command)
            assert done.returncode == 0, (command, done.stderr)

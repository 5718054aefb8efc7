"""`mesh models` and `mesh node` as people run them, with HF_ENDPOINT leading to a stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gguf import write_random
from tests.hub_rig import REPO, HubRig, running

pytestmark = pytest.mark.processes

NAME = "tiny-Q4_K_M.gguf"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[HubRig]:
    data = write_random(tmp_path / "made.gguf").read_bytes()
    with running(HubRig(files={NAME: data})) as started:
        yield started


@pytest.fixture
def environment(rig: HubRig, tmp_path: Path) -> dict[str, str]:
    mine = {"HF_ENDPOINT": rig.endpoint, "HF_HOME": str(tmp_path / "hf"), "NO_COLOR": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return inherited | mine | {"MESH_STATE_DIR": str(tmp_path / "state")}


def mesh(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mesh.cli", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_pull_that_was_killed_is_gone_on_with_by_the_next_one(
    rig: HubRig, environment: dict[str, str]
) -> None:
    half = len(rig.files[NAME]) // 2
    rig.faults.cuts, rig.faults.hold = [half], threading.Event()
    partial = Path(environment["HF_HOME"], "hub", f"models--{REPO.replace('/', '--')}", "blobs")
    command = [sys.executable, "-m", "mesh.cli", "models", "pull", f"hf:{REPO}"]
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1) as process:
        while True:
            sizes = [path.stat().st_size for path in partial.glob("*.incomplete")]
            if sizes and sizes[0] > 0:
                break
            threading.Event().wait(0.02)
        process.kill()
    had = next(iter(partial.glob("*.incomplete"))).stat().st_size
    rig.faults.hold.set()
    done = mesh("models", "pull", f"hf:{REPO}", environment=environment)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert path.read_bytes() == rig.files[NAME]
    assert rig.ranges() == ["bytes=0-", f"bytes={had}-"]
    assert "going on from" in done.stderr


def test_without_a_network_it_is_one_sentence_and_what_is_here_is_used(
    rig: HubRig, environment: dict[str, str]
) -> None:
    away = environment | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    for env in (away, environment | {"HF_HUB_OFFLINE": "1"}):
        failed = mesh("models", "pull", f"hf:{REPO}", environment=env)
        assert failed.returncode == 2
        assert failed.stderr.count("\n") == 1
        assert failed.stderr.startswith("mesh: ")
    mesh("models", "pull", f"hf:{REPO}", environment=environment)
    told = mesh("models", "pull", f"hf:{REPO}", environment=away).stderr
    assert told.endswith("it is on this box as it was pulled before\n")
    fits = mesh("models", "fit", f"hf:{REPO}", "--cpu", environment=away)
    assert fits.returncode == 0, fits.stderr
    assert "it fits" in fits.stdout
    assert fits.stderr == ""


def test_whether_a_model_fits_is_known_before_it_is_pulled(
    rig: HubRig, environment: dict[str, str]
) -> None:
    fits = mesh("models", "fit", f"hf:{REPO}", "--cpu", environment=environment)
    assert fits.returncode == 0, fits.stderr
    assert fits.stdout.startswith(f"hf:{REPO}/{NAME}, which is not on this box\n")
    assert fits.stderr == ""
    assert not list(Path(environment["HF_HOME"]).rglob("*.gguf"))
    mesh("models", "pull", f"hf:{REPO}", environment=environment)
    again = mesh("models", "fit", f"hf:{REPO}", "--cpu", environment=environment)
    strip = [line for line in fits.stdout.splitlines()[1:] if not line.startswith(("free", "left"))]
    assert strip == [
        line for line in again.stdout.splitlines() if not line.startswith(("free", "left"))
    ]


def test_no_library_writes_a_bar_or_a_warning(rig: HubRig, environment: dict[str, str]) -> None:
    rig.faults.refusals = [503]
    done = mesh("models", "pull", f"hf:{REPO}", environment=environment)
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        REPO,
        f"pulling {NAME}",
        "the connection was lost (the hub answered 503)",
        f"{NAME} is here",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_disk_that_fills_is_told_and_gone_on_with(
    rig: HubRig, environment: dict[str, str], tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=80k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        env = environment | {"HF_HOME": str(disk)}
        before = mesh("models", "pull", f"hf:{REPO}", environment=env)
        assert "are to be loaded and the disk of" in before.stderr
        assert before.returncode == 2
        # What the disk has free when the pull begins may be taken by somebody else.
        code = (
            "import node.models.hub.pull as p; p._check_disk = lambda *a: None;"
            "from mesh.cli.main import main; main()"
        )
        command = [sys.executable, "-c", code, "models", "pull", f"hf:{REPO}"]
        full = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert full.returncode == 2
        assert "is full" in full.stderr
        assert "Traceback" not in full.stderr
        subprocess.run(["mount", "-o", "remount,size=80m", str(disk)], check=True)
        done = mesh("models", "pull", f"hf:{REPO}", environment=env)
        assert done.returncode == 0, done.stderr
        assert "going on from" in done.stderr
    finally:
        subprocess.run(["umount", str(disk)], check=True)

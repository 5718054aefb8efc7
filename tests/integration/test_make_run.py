"""`make run` with the first model: five acts, of which one kills a node, and a clean end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mesh.cli.tour import PROMPTS
from mesh.cli.tour.page import TRY
from tests.first_model import needs_first_model
from tests.local_mesh import Box, box, wait_for

pytestmark = [
    needs_first_model,
    pytest.mark.processes,
    pytest.mark.engine,
    pytest.mark.timeout(240),
]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Box]:
    with box(tmp_path / "state") as made:
        yield made


def test_make_run_tours_the_mesh_and_ends_with_ctrl_c(home: Box, tmp_path: Path) -> None:
    output = tmp_path / "output"
    bin_dir = Path(sys.executable).parent
    # The environment is there already: what is tested is what the command does in it.
    command = ["make", "--old-file=.venv/.installed", "run", f"BIN={bin_dir}"]
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=home.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(
            lambda: "Ctrl-C stops it" in output.read_text() or process.poll() is not None,
            "the tour is over",
            within_s=120,
        )
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=20)
    text = output.read_text()
    assert "Ctrl-C stops it" in text, text
    words = " ".join(text.split())
    for prompt in PROMPTS:
        assert f"> {prompt}" in words
    assert "1029 days" in words
    assert "no GPU, no model" in words
    assert "135 million parameters" in words
    assert re.search(r"\[⟂ (robin|wren) killed · goes on at (robin|wren) after [\d.]+ m?s\]", words)
    assert "none missing and none twice" in words
    assert "died (killed by SIGKILL); starting again" in words
    assert "free/total" in text
    for line, _ in TRY:
        assert line.partition(" ")[2] in text
    assert "\x1b" not in text
    assert "Traceback" not in text
    wait_for(lambda: not home.processes(), f"nothing left:\n{home.describe()}", 5)


def test_demo_failover_kills_only_a_node_of_its_own(home: Box) -> None:
    assert home.mesh("up", "--detach").returncode == 0
    before = {node["id"]: node["pid"] for node in home.status().values()}

    other = home.mesh("demo", "failover", "--state-dir", str(home.state_dir / "other"))

    assert other.returncode == 2
    assert "nothing is killed without --yes" in other.stderr
    assert {node["id"]: node["pid"] for node in home.status().values()} == before

    done = home.mesh("demo", "failover", "--json")

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["faults"] == []
    assert told["at_token"] >= 20
    assert told["tokens"] > told["at_token"]
    assert told["same_weights"]
    assert told["by_ids"]
    assert before[told["killed"]["node_id"]] == told["killed"]["pid"]
    assert not psutil.pid_exists(told["killed"]["pid"])
    assert told["goes_on_at"] != told["killed"]["node"]
    home.mesh("down")

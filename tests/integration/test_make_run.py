"""`make run` with the first model: answers, the table, what to try, and a clean end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.cli.tour import PROMPTS, TRY
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
    for prompt in PROMPTS:
        assert f"> {prompt}" in text
    for specialty in ("math", "code", "chat"):
        assert f"{specialty} via " in text
    assert "node wren · first token " in text  # the one that writes code
    assert "free/total" in text
    for line in TRY:
        assert line.partition(" ")[2] in text
    assert "\x1b" not in text
    assert "Traceback" not in text
    wait_for(lambda: not home.processes(), f"nothing left:\n{home.describe()}", 5)

"""The commands as real processes against one real mesh with simulated engines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_mesh import Box, box, wait_for

# One mesh for the whole file, so all of it runs in one test process.
pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(180),
    pytest.mark.xdist_group("test_cli"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with box(tmp_path_factory.mktemp("cli") / "state") as made:
        done = made.mesh("up", "--detach", "--engine", "simulated")
        assert done.returncode == 0, done.stdout + done.stderr
        node = made.start_endless(made.state_dir / "endless.log")
        yield made
        node.terminate()
        assert node.wait(timeout=15) == 0
        assert made.mesh("down").returncode == 0
        wait_for(lambda: not made.processes(), f"nothing left:\n{made.describe()}", 5)


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_ask_json_is_a_decision_tokens_without_a_gap_and_done(home: Box) -> None:
    done = home.mesh("ask", "--json", "--specialty", "math", "--max-tokens", "20", "What is 2 + 2?")
    assert done.returncode == 0, done.stderr
    decision, *tokens, end = events(done.stdout)
    assert (decision["event"], decision["specialty"], decision["node"]) == (
        "decision",
        "math",
        "wren",
    )
    assert decision["stage"] == "requested"
    assert [token["index"] for token in tokens] == list(range(len(tokens)))
    assert end["event"] == "done"
    assert end["tokens"] == len(tokens)
    assert len(str(end["trace_id"])) == 32


def test_ask_prints_the_answer_and_one_closing_line(home: Box) -> None:
    done = home.mesh("ask", "--specialty", "logic", "--max-tokens", "8", "Hello")
    assert done.returncode == 0
    assert done.stdout.strip()
    line, cut = done.stderr.splitlines()
    assert "logic via requested" in line
    assert "node robin" in line
    assert "first token" in line
    assert "cut off at its limit of 8 tokens" in cut


def test_ask_reads_a_pipe(home: Box) -> None:
    done = home.mesh("ask", "--max-tokens", "4", stdin="Zwölf Äpfel".encode())
    assert done.returncode == 0, done.stderr
    assert home.mesh("ask", "-", stdin=b"\xff\xfe").returncode == 2
    assert home.mesh("ask", stdin=b"").returncode == 2


def test_route_json_names_decision_and_candidates(home: Box) -> None:
    done = home.mesh("route", "--json", "Write a Python function that adds two numbers.")
    data = json.loads(done.stdout)
    assert data["decision"]["specialty"]
    assert data["candidates"][0]["eligible"]
    assert home.mesh("route", "Hello").stdout


def test_status_shows_every_node(home: Box) -> None:
    text = home.mesh("status").stdout
    for name in ("robin", "wren", "endless"):
        assert name in text
    assert home.endpoint in text


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (["ask", ""], 2),
        (["ask", "hi", "--max-tokens", "-5"], 2),
        (["ask", "hi", "--temperature", "nan"], 2),
        (["ask", "hi", "--top-p", "7"], 2),
        (["ask", "hi", "--specialty", "poetry"], 3),
        (["ask", "hi", "--model", "nowhere"], 3),
        (["ask", "hi", "--endpoint", "127.0.0.1:1"], 4),
        (["status", "--endpoint", "127.0.0.1:1"], 4),
        (["route", "hi", "--endpoint", "127.0.0.1:1"], 4),
        (["ask", "hi", "--timeout", "0.000001"], 5),
    ],
)
def test_errors_are_one_line_with_their_exit_code(
    home: Box, arguments: list[str], exit_code: int
) -> None:
    done = home.mesh(*arguments)
    assert (done.returncode, done.stdout) == (exit_code, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("mesh: ")


def test_a_prompt_over_the_limit_is_refused_as_such(home: Box) -> None:
    done = home.mesh("ask", "-", stdin=b"x " * (3 * 1024 * 1024))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_an_argument_that_is_no_utf8_is_refused(home: Box) -> None:
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"mesh.cli", b"ask", b"abc\xff"],
        env=home.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"not valid UTF-8" in done.stderr
    assert b"Traceback" not in done.stderr


def test_ctrl_c_ends_an_answer_quietly_with_130(home: Box, tmp_path: Path) -> None:
    output = tmp_path / "output"
    process = home.start(
        "ask", "--specialty", "endless", "--max-tokens", "90000", "go on for ever", output=output
    )
    wait_for(lambda: output.stat().st_size > 20, "tokens come")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=10) == 130
    assert "Traceback" not in output.read_text()
    assert "mesh:" not in output.read_text()


def test_status_watch_shows_it_anew_until_ctrl_c(home: Box, tmp_path: Path) -> None:
    output = tmp_path / "output"
    process = home.start("status", "--watch", "--json", output=output)
    wait_for(lambda: output.read_text().count("\n") >= 2, "two documents")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=10) == 130
    for line in output.read_text().splitlines()[:2]:
        assert len(json.loads(line)["nodes"]) == 3


def test_a_mesh_of_another_state_folder_on_the_port_is_named_as_such(
    home: Box, tmp_path: Path
) -> None:
    done = home.mesh("up", "--engine", "simulated", "--state-dir", str(tmp_path / "other"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"a mesh is already running at {home.endpoint}" in line


def test_a_reader_that_has_enough_is_no_error(home: Box) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mesh.cli",
            "ask",
            "--specialty",
            "endless",
            "--max-tokens",
            "90000",
            "go on",
        ],
        env=home.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    if process.stdout is None or process.stderr is None:
        pytest.fail("no pipes")
    with process.stdout, process.stderr:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.wait(timeout=10) == 1

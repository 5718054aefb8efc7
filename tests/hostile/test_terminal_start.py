"""What a person meets at a terminal: a node that cannot work, and text that is piped in."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.etcd import EtcdServer
from tests.fake_mesh import FakeMesh, serving
from tests.local_mesh import Box, box, wait_for

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

NOT_A_MODEL = b"this is no GGUF file" * 100


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Box]:
    with box(tmp_path / "state") as made:
        made.state_dir.mkdir()
        yield made


@pytest.fixture(scope="module")
def mesh() -> Iterator[FakeMesh]:
    with serving(FakeMesh()) as made:
        yield made


def broken(home: Box) -> list[str]:
    path = home.state_dir / "broken.gguf"
    path.write_bytes(NOT_A_MODEL)
    return ["node", "--model", str(path), "--specialty", "math", "--name", "broken"]


async def test_a_node_with_no_model_that_works_ends_and_says_why(home: Box) -> None:
    async with EtcdServer() as etcd:
        done = home.mesh(*broken(home), "--etcd", etcd.endpoint, timeout_s=60)
        assert done.returncode == 2
        assert "no model works: broken" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", ["--keep-trying", "systemd"])
async def test_as_a_service_it_stays_says_why_and_tries_again(
    home: Box, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [how] if how.startswith("--") else []
    if not more:
        monkeypatch.setenv("INVOCATION_ID", "0" * 32)
    output = home.state_dir / "node.log"
    async with EtcdServer() as etcd:
        node = home.start(*broken(home), "--etcd", etcd.endpoint, *more, output=output)
        wait_for(lambda: "no model works" in output.read_text(), "it says why")
        await asyncio.sleep(1.0)  # it would have ended at once
        assert node.poll() is None
        node.terminate()
        assert node.wait(20) == 0


def ask(mesh: FakeMesh, *arguments: str, piped: bytes | None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "mesh.cli", *arguments, "--endpoint", mesh.endpoint],
        input=piped,
        stdin=subprocess.DEVNULL if piped is None else None,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "piped", "asked"),
    [
        (["ask", "summarise"], b"a long text\n", "summarise\n\na long text\n"),
        (["ask", "summarise"], b"", "summarise"),
        (["ask", "summarise"], b" \n\n", "summarise"),
        (["ask", "summarise"], None, "summarise"),
        (["ask"], b"a long text", "a long text"),
        (["ask", "-"], b"a long text", "a long text"),
        (["route", "summarise"], b"a long text", "summarise\n\na long text"),
    ],
)
def test_what_is_piped_in_beside_a_prompt_goes_along(
    mesh: FakeMesh, arguments: list[str], piped: bytes | None, asked: str
) -> None:
    mesh.requests.clear()
    done = ask(mesh, *arguments, piped=piped)
    assert done.returncode == 0, done.stderr
    assert mesh.requests[-1].messages[-1].content == asked


@pytest.mark.parametrize(
    ("piped", "says"),
    [
        (b"\xff\xfe", b"not valid UTF-8"),
        (b"a\x00b" * 3, b"binary, no text (a zero byte at position 1)"),
    ],
    ids=["no text", "zeros"],
)
def test_what_is_piped_in_and_is_no_text_is_one_line(
    mesh: FakeMesh, piped: bytes, says: bytes
) -> None:
    done = ask(mesh, "ask", "summarise", piped=piped)
    assert says in done.stderr
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_as_standard_input_is_one_line(mesh: FakeMesh, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "mesh.cli", "ask", "hi", "--endpoint", mesh.endpoint],
            stdin=folder,
            capture_output=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(folder)
    assert done.returncode in (1, 2)  # Python itself may refuse it
    assert b"Traceback" not in done.stderr


def test_a_closed_standard_input_is_no_text(mesh: FakeMesh) -> None:
    command = f"{sys.executable} -m mesh.cli ask hi --endpoint {mesh.endpoint} <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_who_waits_for_standard_input_says_so(mesh: FakeMesh) -> None:
    mesh.requests.clear()
    with subprocess.Popen(
        [sys.executable, "-m", "mesh.cli", "ask", "summarise", "--endpoint", mesh.endpoint],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        if child.stderr is None or child.stdin is None:
            raise RuntimeError("no pipes")
        assert b"reading standard input, which goes with the prompt" in child.stderr.readline()
        child.stdin.write(b"late")
        child.stdin.close()
        assert child.wait(60) == 0
    assert mesh.requests[-1].messages[-1].content == "summarise\n\nlate"


def test_lines_beside_texts_are_embedded_too(mesh: FakeMesh) -> None:
    mesh.requests.clear()
    done = ask(mesh, "embed", "--json", "a", piped=b"b\n\nab\n")
    assert done.returncode == 0, done.stderr
    assert list(mesh.requests[-1].texts) == ["a", "b", "ab"]

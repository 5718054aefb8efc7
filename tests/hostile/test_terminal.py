"""What strangers say never reaches a terminal as more than text: the real commands, on a mesh whose
names, reasons, errors and answers are meant to be obeyed, to forge lines or to flood the screen."""

from __future__ import annotations

import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len

from mesh.cleaned import harmless
from mesh.cli.main import cli
from mesh.errors import EngineFailed
from mesh.fleet.records import Gpu, ModelState, NodeState, OrchestratorRecord, encode_record
from mesh.local import logs
from mesh.telemetry.logs import configure
from mesh.types import ModelId, NodeId, OrchestratorId, Specialty
from mesh.v1 import mesh_pb2
from tests.fake_mesh import (
    Broken,
    FakeMesh,
    assigned,
    decided,
    decision,
    done,
    model,
    node,
    serving,
    tokens,
)

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;owned\x07x",
    "link": "\x1b]8;;http://evil\x1b\\x\x1b]8;;\x1b\\",
    "clear": "\x1b[2J\x1b[Hx",
    "answer back": "\x1b[6n\x1b[c\x05x",
    "single-byte controls": "\x9b31mx\x90q\x9c",
    "lines": "x\nready  box  4/4\r\nforged",
    "carriage return": "real\rfake",
    "backspaces": "bad\x08\x08\x08good",
    "bidi": "\u202egnp.exe\u202c \u2066x\u2069",
    "line separators": "x\u2028y\u2029z\x0b\x0c\x85",
    "invisible": "\u200b\ufeffx\u2060",
    "markup": "[bold red]x[/bold red] [/] [link=http://evil]",
    "long": "x" * 120,
    "huge": "x" * 100_000,
    "wide": "你" * 300,
    "zalgo": "x" + "\u0301" * 500,
    "nothing": "\x1b[0m",
}
OBEYED = set(map(chr, (*range(9), *range(11, 32), *range(127, 160)))) | set(
    "\t\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029"
)


def fleet(text: str) -> mesh_pb2.FleetResponse:
    card = {"index": 0, "name": text, "uuid": text, "error": text, "throttled": text}
    sizes = {"total_bytes": 2**34, "used_bytes": 2**33, "free_bytes": 2**33}
    failed = {"state": ModelState.FAILED, "error": text, "device": text, "engine": text}
    # A field or two each: what the border sets aside must not hide what it lets through.
    nodes: list[dict[str, Any]] = [
        {"name": text, "id": NodeId("x1")},
        {"host": text, "reason": text, "accelerator": text, "state": NodeState.DRAINING},
        {"gpus": (Gpu(**card, **sizes),)},
        {"models": (model("m", **failed),)},
        {"models": (model("m", id=ModelId(text)),)},
        {
            "specialties": (Specialty(text),),
            "models": (model("m", specialties=(Specialty(text),)),),
        },
    ]
    orchestrator = OrchestratorRecord(
        id=OrchestratorId("o"),
        instance=text,
        name=text,
        host=text,
        pid=1,
        endpoint=text,
        rules_version=text,
        fallback=text,
    )
    return mesh_pb2.FleetResponse(
        nodes=[
            node(**({"name": "a", "id": NodeId(f"a{n}")} | each)) for n, each in enumerate(nodes)
        ],
        orchestrators=[mesh_pb2.Orchestrator(record=encode_record(orchestrator))],
        registry_connected=True,
    )


def route(text: str) -> mesh_pb2.RouteResponse:
    verdict = mesh_pb2.StageVerdict(stage=text, specialty=text, rule=text, note=text, confidence=1)
    return mesh_pb2.RouteResponse(
        decision=decision(
            specialty=text,
            stage=text,
            rule=text,
            rules_version=text,
            verdicts=[verdict],
            alternatives=[mesh_pb2.Alternative(specialty=text, probability=1)],
        ),
        candidates=[
            mesh_pb2.Candidate(node_id=text, node_name=text, model=text, eligible=each, reason=text)
            for each in (True, False)
        ],
    )


def mesh(text: str) -> FakeMesh:
    end = done(node_name=text, model=text, finish_reason="length")
    return FakeMesh(
        fleet=fleet(text),
        route=route(text),
        answer=(decided(specialty=text, stage=text), assigned(text), tokens(0, "fine"), end),
    )


@pytest.fixture(scope="module", params=HOSTILE, ids=list(HOSTILE))
def served(request: pytest.FixtureRequest) -> Iterator[FakeMesh]:
    with serving(mesh(HOSTILE[request.param])) as found:
        yield found


def run(found: FakeMesh, columns: int, *arguments: str) -> Result:
    return CliRunner().invoke(
        cli, ["--endpoint", found.endpoint, *arguments], env={"COLUMNS": str(columns)}
    )


COMMANDS = [
    ("status",),
    ("status", "--models"),
    ("status", "--json"),
    ("route", "hello"),
    ("route", "--json", "hello"),
    ("ask", "hello"),
    ("ask", "--json", "hello"),
]


@pytest.mark.parametrize("columns", [40, 200])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_what_a_terminal_obeys(
    served: FakeMesh, columns: int, command: tuple[str, ...]
) -> None:
    result = run(served, columns, *command)
    assert result.exit_code in (0, 1), result.output
    assert not isinstance(result.exception, Exception) or isinstance(result.exception, SystemExit)
    assert not OBEYED & set(result.output), sorted(OBEYED & set(result.output))
    assert "Traceback" not in result.output
    if "--json" in command:
        for line in result.stdout.splitlines() if "ask" in command else [result.stdout]:
            json.loads(line)
        return
    lines = result.output.splitlines()
    assert len(lines) < 400
    # The output is a pipe here, in which a row of the status is a line, however long.
    if "ask" not in command and "status" not in command:
        assert max(map(cell_len, lines)) <= columns
    assert "ready  box" not in result.output


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_an_error_is_one_line_whoever_worded_it(text: str) -> None:
    said = text[:2000]  # gRPC's own limit for a status
    with serving(FakeMesh(answer=(Broken("internal", said),))) as found:
        result = run(found, 80, "ask", "hello")
    assert result.exit_code == 1
    assert not OBEYED & set(result.stderr.rstrip("\n")), result.stderr
    assert len(result.stderr.splitlines()) == 1


def on_terminal(found: FakeMesh, *arguments: str) -> str:
    """What reaches a real (pseudo) terminal, its line ends as they were."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mesh.cli", "--endpoint", found.endpoint, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL
    ) as child:
        os.close(theirs)
        data = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # its other end is closed
                break
            if not more:
                break
            data += more
        os.close(ours)
        assert child.wait(60) == 0
    return data.decode().replace("\r\n", "\n")


SAID = "a\tb\n\x1b[31mred\x1b[0m \x1b]0;t\x07 \x9b2J \u202ex \x7f é你👩‍🚀"


def test_an_answer_is_shown_harmless_on_a_terminal_and_piped_as_it_is() -> None:
    parts = [SAID[at : at + 3] for at in range(0, len(SAID), 3)]
    answer = (decided(), assigned(), tokens(0, *parts), done(completion_tokens=len(parts)))
    with serving(FakeMesh(answer=answer)) as found:
        shown = on_terminal(found, "ask", "hello")
        piped = run(found, 80, "ask", "hello").stdout
    assert piped == SAID + "\n"
    assert shown == "a\tb\n␛[31mred␛[0m ␛]0;t␇ �2J �x ␡ é你👩‍🚀\n"
    assert harmless(SAID) + "\n" == shown


@pytest.mark.parametrize("text", HOSTILE.values(), ids=list(HOSTILE))
def test_a_log_is_a_line_an_event(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        configure("info", "node a")
        logging.getLogger("x").warning("the node says %s", text)
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("x").exception("a defect")
        logging.getLogger("x").error("known", exc_info=EngineFailed(text))
    finally:
        root.handlers[:], root.level = before[0], before[1]
    said = capsys.readouterr().err
    assert not OBEYED & set(said)
    assert sum(" node a " in line for line in said.splitlines()) == 3
    assert said.splitlines()[-1].count("engine_failed") == 1
    assert len(said) < 50_000


def test_a_childs_last_words_are_lines_of_text(tmp_path: Any) -> None:
    log = tmp_path / "node.log"
    log.write_bytes(b"\n".join(text.encode() for text in HOSTILE.values()))
    assert all(line.isprintable() for line in logs.tail(log, 50))

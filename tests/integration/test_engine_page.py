"""docs/engines.md builds an engine: the page's own text, installed, in a real runner."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from mesh.clock import SystemClock
from mesh.errors import ConfigError, ContextOverflow
from mesh.fleet.records import ModelState
from mesh.types import FinishReason, Message, Role, Sampling
from node.engines.base import Ended, ModelSpec, Prefilling, Token
from node.runner.messages import Done, Opening, Pieces
from node.runner.process import RunnerProcess

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"
DEADLINE_S = 60.0
NOBODY: frozenset[int] = frozenset()


def write_package(folder: Path) -> Path:
    """The blocks of the page whose first line is a comment with a file's name."""
    folder.mkdir()
    for name, text in re.findall(r"```\w+\n# ([\w.]+)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("page") / "toy")


@pytest.fixture
def toy(package: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = importlib.util.spec_from_file_location("toy_engine", package / "toy_engine.py")
    if found is None or found.loader is None:
        pytest.fail("the page has no toy_engine.py")
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "toy_engine", module)  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


def spec(**options: object) -> ModelSpec:
    return ModelSpec(
        id="parrot", source="parrot", slots=2, context_length=16, threads=1, options=options
    )


def user(text: str) -> tuple[Message, ...]:
    return (Message.of(Role.USER, text),)


def test_the_page_has_both_files_and_the_engine_is_small(package: Path) -> None:
    assert {f.name for f in package.iterdir()} == {"pyproject.toml", "toy_engine.py"}
    assert len((package / "toy_engine.py").read_text().splitlines()) <= 80


def test_the_engine_of_the_page_keeps_to_the_interface(toy: ModuleType) -> None:
    engine = toy.ToyEngine()
    engine.load(spec(loud=True))
    assert engine.step(NOBODY) == []
    assert engine.open(0, user("a b c"), Sampling(), (), "") == 3
    assert engine.open(1, user("a b c"), Sampling(), (0,), "") == 3
    assert engine.step(frozenset({1})) == [Prefilling(0, 3, 3), Token(0, 0, b"A ")]
    assert engine.step(frozenset({0})) == [Prefilling(1, 3, 3), Token(1, 1, b"B ")]
    engine.close(1)
    engine.close(1)
    rest = [emission for _ in range(4) for emission in engine.step(NOBODY)]
    assert rest == [Token(0, 1, b"B "), Token(0, 2, b"C "), Ended(0, FinishReason.STOP)]
    engine.close(0)
    engine.open(0, user("a b c"), Sampling(), (), "A B ")
    assert engine.step(NOBODY)[-1] == Token(0, 2, b"C ")
    engine.open(1, user("w " * 15), Sampling(), (), "")
    assert Ended(1, FinishReason.CONTEXT) in [*engine.step(NOBODY), *engine.step(NOBODY)]
    with pytest.raises(ContextOverflow):
        engine.open(1, user("w " * 16), Sampling(), (), "")
    with pytest.raises(ConfigError, match="'quiet'"):
        toy.ToyEngine().load(spec(quiet=True))
    assert isinstance(toy.ToyTraits().make(), toy.ToyEngine)


@pytest.mark.processes
async def test_installed_it_answers_in_a_runner(package: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    arguments = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "pip", "install", "--quiet", *arguments, str(package)],
        check=True,
        timeout=DEADLINE_S,
        capture_output=True,
    )
    runner = RunnerProcess(
        "toy",
        spec(loud=True),
        on_change=lambda: None,
        clock=SystemClock(),
        environment={"PYTHONPATH": f"{target}:{os.environ.get('PYTHONPATH', '')}"},
    )
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        life = tasks.create_task(runner.run())
        try:
            await until(lambda: runner.state is ModelState.RESIDENT)
            sequence = runner.open(
                Opening(messages=user("hello there"), sampling=Sampling(), credit=64)
            )
            text = ""
            async for event in sequence:
                match event:
                    case Pieces(pieces=pieces):
                        text += "".join(piece.text for piece in pieces)
                    case Done(reason=reason):
                        assert reason is FinishReason.STOP
            assert text == "HELLO THERE "
        finally:
            life.cancel()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - of another process; the caller's timeout ends it
        await asyncio.sleep(0.01)

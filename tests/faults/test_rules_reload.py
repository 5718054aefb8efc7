"""Rules that change, break and vanish under a running orchestrator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import ConfigError, RuleError
from mesh.fleet.records import RulesStatus, rules_version
from mesh.registry.base import RULES, Change, Delete, Put
from mesh.types import Message, Role, Specialty
from orchestrator.router.base import Features
from orchestrator.router.cascade import Cascade
from orchestrator.router.reload import POLL_S, RulesReloader
from orchestrator.router.rule_file import RuleSet, parse
from orchestrator.router.rules import alone

CHAT = Specialty("chat")
_reloader = partial(RulesReloader, fallback=CHAT, arrange=alone)


async def _open(**parts: Any) -> RulesReloader:
    reloader = _reloader(**parts)
    await reloader.open()
    return reloader


def _rules(specialty: str, pattern: str = "ping") -> bytes:
    return f"[[rules]]\nname = 'r'\nspecialty = '{specialty}'\npattern = '{pattern}'\n".encode()


BROKEN = _rules("math", "ping(?=pong)")


class _Registry:
    """Only what is watched; the test says what it yields."""

    connected = True

    def __init__(self) -> None:
        self.changes: asyncio.Queue[tuple[Change, ...]] = asyncio.Queue(16)

    async def run(self) -> None:
        return None

    def announce(self, key: str, value: bytes, *, owner: str | None = None) -> None:
        raise NotImplementedError

    def withdraw(self, key: str) -> None:
        raise NotImplementedError

    async def watch(self, prefix: str) -> AsyncIterator[tuple[Change, ...]]:
        assert prefix == RULES
        while True:
            yield await self.changes.get()

    async def put(self, key: str, value: bytes) -> None:
        await self.changes.put((Put(key, value),))


def _answer(reloader: RulesReloader) -> str:
    """Rules never wait, so that the first step of the coroutine is the last."""
    deciding = reloader.current.decide(Features.of((Message.of(Role.USER, "ping"),)))
    try:
        deciding.send(None)
    except StopIteration as ended:
        return str(ended.value.decision.specialty)
    raise AssertionError("the rules waited for something")


async def _until(clock: ManualClock, holds: Callable[[], bool]) -> None:
    """Moves the clock a poll at a time; what runs in threads gets real time, up to a deadline."""
    async with asyncio.timeout(20):
        while not holds():
            await clock.advance(POLL_S)
            await asyncio.sleep(0.002)


@asynccontextmanager
async def _running(reloader: RulesReloader) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(reloader.run())
        try:
            yield
        finally:
            task.cancel()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _replace(path: Path, new: Path) -> None:
    new.replace(path)


def _remove(path: Path) -> None:
    path.unlink()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_bytes(_rules("math"))
    return path


async def test_a_changed_file_takes_effect_and_is_announced(file: Path) -> None:
    clock, seen = ManualClock(), list[Cascade]()
    reloader = await _open(clock=clock, file=file, on_change=seen.append)
    before = reloader.version
    assert _answer(reloader) == "math"
    async with _running(reloader):
        _write(file, _rules("code") + b"# longer")
        await _until(clock, lambda: _answer(reloader) == "code")
    assert seen == [reloader.current]
    assert reloader.status == RulesStatus(version=reloader.version, count=1)
    assert reloader.version != before
    assert reloader.last_error is None


async def test_a_file_replaced_by_rename_takes_effect(file: Path, tmp_path: Path) -> None:
    clock = ManualClock()
    reloader = await _open(clock=clock, file=file)
    async with _running(reloader):
        new = tmp_path / "new"
        _write(new, _rules("code"))
        _replace(file, new)
        await _until(clock, lambda: _answer(reloader) == "code")


async def test_broken_rules_are_refused_by_name_and_the_old_ones_stay(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    reloader = await _open(clock=clock, file=file)
    version = reloader.version
    with caplog.at_level(logging.ERROR):
        async with _running(reloader):
            _write(file, BROKEN)
            await _until(clock, lambda: reloader.last_error is not None)
            assert reloader.last_error is not None
            assert "rule 1 'r': look-ahead" in reloader.last_error
            assert (_answer(reloader), reloader.version) == ("math", version)
            for _ in range(5):
                await clock.advance(POLL_S)
            assert len(caplog.records) == 1  # told once, not at each look
            _write(file, _rules("code"))
            await _until(clock, lambda: reloader.last_error is None)
            assert _answer(reloader) == "code"


async def test_mending_a_file_back_to_what_is_in_use_clears_the_error(file: Path) -> None:
    clock = ManualClock()
    reloader = await _open(clock=clock, file=file)
    used = reloader.current
    async with _running(reloader):
        _write(file, BROKEN)
        await _until(clock, lambda: reloader.last_error is not None)
        _write(file, _rules("math"))
        await _until(clock, lambda: reloader.last_error is None)
    assert reloader.current is used


async def test_a_file_that_vanishes_and_comes_back(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    reloader = await _open(clock=clock, file=file)
    async with _running(reloader):
        _remove(file)
        with caplog.at_level(logging.ERROR):
            await _until(clock, lambda: reloader.last_error is not None)
            for _ in range(5):
                await clock.advance(POLL_S)
        assert len(caplog.records) == 1
        assert _answer(reloader) == "math"
        _write(file, _rules("code"))
        await _until(clock, lambda: _answer(reloader) == "code")
        assert reloader.last_error is None


async def test_the_registry_key_wins_over_the_file_while_it_exists(file: Path) -> None:
    clock, registry = ManualClock(), _Registry()
    reloader = await _open(clock=clock, file=file, registry=registry)
    async with _running(reloader):
        await registry.changes.put((Put(RULES, _rules("code")), Put(RULES + "-other", b"?")))
        await _until(clock, lambda: _answer(reloader) == "code")
        _write(file, _rules("logic"))
        for _ in range(5):
            await clock.advance(POLL_S)
            await asyncio.sleep(0.002)
        assert _answer(reloader) == "code"
        await registry.changes.put((Delete(RULES),))
        await _until(clock, lambda: _answer(reloader) == "logic")


async def test_a_broken_key_leaves_the_rules_in_use_until_it_is_mended_or_gone(file: Path) -> None:
    clock, registry = ManualClock(), _Registry()
    reloader = await _open(clock=clock, file=file, registry=registry)
    async with _running(reloader):
        await registry.put(RULES, BROKEN)
        await _until(clock, lambda: reloader.last_error is not None)
        assert reloader.last_error is not None
        assert "registry key config/rules: rule 1 'r'" in reloader.last_error
        assert _answer(reloader) == "math"
        await registry.changes.put((Delete(RULES),))
        await _until(clock, lambda: reloader.last_error is None)
        assert _answer(reloader) == "math"


async def test_decisions_go_on_while_new_rules_compile(file: Path) -> None:
    clock = ManualClock()
    reloader = await _open(clock=clock, file=file)
    many = b"".join(
        f"[[rules]]\nname = 'r{n}'\nspecialty = 'code'\npattern = 'ping.{{0,20}}x{n}'\n".encode()
        for n in range(60)
    )
    async with _running(reloader):
        _write(file, many + _rules("logic"))
        answers: list[str] = []

        def landed() -> bool:
            answers.append(_answer(reloader))
            return answers[-1] == "logic"

        await _until(clock, landed)
    assert set(answers) == {"math", "logic"}  # the one set or the other, never a mixture


@pytest.mark.parametrize("blank", [b"", b"\n \n"])
async def test_a_blank_source_takes_no_rules_away_and_saying_so_does(
    file: Path, blank: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Editors empty a file before they write it, and the poll may fall in between."""
    clock, registry = ManualClock(), _Registry()
    reloader = await _open(clock=clock, file=file, registry=registry)
    before = reloader.version
    async with _running(reloader):
        _write(file, blank)
        await _until(clock, lambda: reloader.last_error is not None)
        assert (reloader.version, _answer(reloader)) == (before, "math")
        assert f"{file} is blank; write `rules = []` there to have no rules" in caplog.text
        await registry.put(RULES, blank)
        await _until(clock, lambda: "registry key" in (reloader.last_error or ""))
        assert (reloader.version, _answer(reloader)) == (before, "math")
        await registry.put(RULES, b"rules = []")
        await _until(clock, lambda: reloader.last_error is None)
        assert _answer(reloader) == "chat"


async def test_an_orchestrator_does_not_start_on_rules_that_are_wrong(file: Path) -> None:
    _write(file, BROKEN)
    with pytest.raises(RuleError, match="rule 1 'r': look-ahead"):
        await _open(clock=ManualClock(), file=file)
    with pytest.raises(ConfigError, match=r"cannot read the rules file .*No such file"):
        _reloader(clock=ManualClock(), file=file.with_name("none"))


async def test_the_files_own_fallback_counts_before_the_setting(file: Path) -> None:
    _write(file, b"fallback = 'logic'")
    assert _answer(await _open(clock=ManualClock(), file=file)) == "logic"
    _write(file, b"")
    assert _answer(await _open(clock=ManualClock(), file=file)) == "chat"


class _Compiler:
    """Compiles nothing but what says so, and for ever what has the word ``slow``."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.given_up = 0
        self.fails: ConfigError | None = None

    async def __call__(self, content: bytes, where: str) -> RuleSet:
        self.begun.append(content)
        if self.fails is not None:
            raise self.fails
        if b"slow" in content:
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up += 1
        return parse(content, where=where)


async def test_newer_rules_do_not_wait_for_older_ones_that_never_end(file: Path) -> None:
    clock, registry, compiler = ManualClock(), _Registry(), _Compiler()
    reloader = await _open(clock=clock, file=file, registry=registry, compile_rules=compiler)
    async with _running(reloader):
        await registry.put(RULES, _rules("code", "slow"))
        await _until(clock, lambda: len(compiler.begun) == 2)
        await registry.put(RULES, _rules("code", "slow"))  # said again: no reason to begin anew
        _write(file, _rules("logic") + b"# longer")  # nor is what does not count now
        for _ in range(5):
            await clock.advance(POLL_S)
            await asyncio.sleep(0.002)
        assert (len(compiler.begun), compiler.given_up) == (2, 0)
        assert _answer(reloader) == "math"
        await registry.put(RULES, _rules("code"))
        await _until(clock, lambda: _answer(reloader) == "code")
        assert compiler.given_up == 1
        await registry.put(RULES, _rules("code", "slow"))
        await _until(clock, lambda: len(compiler.begun) == 4)
    assert compiler.given_up == 2  # and an end of all does not wait either


async def test_refused_rules_are_told_of_and_not_compiled_again(file: Path) -> None:
    clock, registry, compiler, told = ManualClock(), _Registry(), _Compiler(), list[RulesStatus]()
    reloader = await _open(
        clock=clock,
        file=file,
        registry=registry,
        compile_rules=compiler,
        on_change=lambda _: told.append(reloader.status),
    )
    async with _running(reloader):
        await registry.put(RULES, BROKEN)
        await _until(clock, lambda: bool(told))
        refused = told[-1].refused
        assert refused is not None
        assert refused.version == rules_version(BROKEN)
        assert "new rules refused: registry key config/rules: rule 1 'r'" in refused.why
        assert (told[-1].version, told[-1].count) == (rules_version(_rules("math")), 1)
        begun = len(compiler.begun)
        for size in range(3):
            _write(file, _rules("logic") + b"#" * size)
            await clock.advance(POLL_S)
            await asyncio.sleep(0.01)
        assert len(compiler.begun) == begun
        await registry.changes.put((Delete(RULES),))
        await _until(clock, lambda: _answer(reloader) == "logic")
    assert told[-1].refused is None


async def test_rules_that_could_not_be_tried_are_tried_again(file: Path) -> None:
    clock, registry, compiler = ManualClock(), _Registry(), _Compiler()
    reloader = await _open(clock=clock, file=file, registry=registry, compile_rules=compiler)
    async with _running(reloader):
        compiler.fails = ConfigError("cannot start the rules' compiler: Too many open files")
        await registry.put(RULES, _rules("code"))
        await _until(clock, lambda: len(compiler.begun) > 3)
        assert reloader.last_error == compiler.fails.message
        compiler.fails = None
        await _until(clock, lambda: _answer(reloader) == "code")
        assert reloader.last_error is None

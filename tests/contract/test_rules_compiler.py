"""The rules' compiler as the process that it is: its limits, and that it ends when it should."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mesh.errors import RuleError
from mesh.types import Message, Role, Specialty
from orchestrator.router import rules as rules_stage
from orchestrator.router.base import Features
from orchestrator.router.cascade import Cascade
from orchestrator.router.compiled import CompiledRules
from orchestrator.router.compiler import NICE, READ_HERE_BYTES, RulesCompiler
from orchestrator.router.rule_file import MAX_FILE_BYTES, RuleSet
from orchestrator.router.rules import RulesStage
from orchestrator.router.stages import Placed

GOOD = b"[[rules]]\nname = 'r'\nspecialty = 'math'\npattern = 'ping'\n"
LONG = GOOD + b"# " + b"x" * READ_HERE_BYTES


def gaps(count: int) -> bytes:
    """Rules that their engine compiles for ever."""
    return b"".join(
        b"[[rules]]\nname = 'r%d'\nspecialty = 'code'\npattern = 'a%d.{0,120}b.{0,120}c'\n" % (n, n)
        for n in range(count)
    )


def children() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if _is_compiler(each)]


def _is_compiler(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "orchestrator.router.compiler_child" in process.cmdline()
    return False


def answer(rules: RuleSet, cache: CompiledRules) -> str:
    placed = Placed(rules_stage.SPEC, RulesStage(rules, cache=cache))
    cascade = Cascade((placed,), Specialty("chat"), rules.version)
    try:
        cascade.decide(Features.of((Message.of(Role.USER, "ping"),))).send(None)
    except StopIteration as ended:
        return str(ended.value.decision.specialty)
    raise AssertionError


@pytest.mark.parametrize("content", [GOOD, LONG])
async def test_what_it_compiled_is_not_compiled_again(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.router.rules._compile", pytest.fail)
    for _ in range(2):
        cache = CompiledRules(tmp_path)
        assert answer(await RulesCompiler(cache)(content, "x"), cache) == "math"
    assert not children()


async def test_rules_compiled_before_need_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await RulesCompiler(CompiledRules(tmp_path))(GOOD, "x")
    monkeypatch.setattr("orchestrator.router.compiler.launch", pytest.fail)
    cache = CompiledRules(tmp_path)
    assert answer(await RulesCompiler(cache)(GOOD, "x"), cache) == "math"


async def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    cache = CompiledRules(blocked)
    assert answer(await RulesCompiler(cache)(GOOD, "x"), cache) == "math"


@pytest.mark.parametrize(
    ("content", "limits", "why"),
    [
        (gaps(1000), {"timeout_s": 2.0}, "x: compiling takes more than 2 s; counted gaps"),
        (gaps(1000), {"memory_bytes": 300 * 2**20}, "x: .*(memory|too large)"),
        (LONG.replace(b"ping", b"p(?=q)"), {}, "x: rule 1 'r': look-ahead"),
        (LONG.replace(b"ping", b"p{40000}"), {}, "x: rule 1 'r'"),
        (b"#" * (MAX_FILE_BYTES + 1), {}, "x: too large: at most 8,388,608 bytes"),
    ],
)
async def test_what_is_refused_says_why_and_leaves_nothing_running(
    tmp_path: Path, content: bytes, limits: dict[str, float], why: str
) -> None:
    with pytest.raises(RuleError, match=why):
        await RulesCompiler(CompiledRules(tmp_path), **limits)(content, "x")  # type: ignore[arg-type]
    assert not children()


async def test_cancelling_ends_the_process_at_once(tmp_path: Path) -> None:
    compiling = asyncio.ensure_future(RulesCompiler(CompiledRules(tmp_path))(gaps(1000), "x"))
    async with asyncio.timeout(20):
        while not children() or children()[0].cpu_times().user < 0.5:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    began = time.monotonic()
    compiling.cancel()
    with suppress(asyncio.CancelledError):
        await compiling
    assert time.monotonic() - began < 1
    assert not children()


@pytest.mark.parametrize(("earlier", "behind"), [((), 0), ((GOOD,), NICE)])
async def test_the_first_rules_stand_behind_nobody_and_later_ones_behind_streams(
    tmp_path: Path, earlier: tuple[bytes, ...], behind: int
) -> None:
    compiler = RulesCompiler(CompiledRules(tmp_path))
    for content in earlier:
        await compiler(content, "x")
    compiling = asyncio.create_task(compiler(gaps(30), "x"))
    async with asyncio.timeout(20):
        while not any(each.cpu_times().user > 0.5 for each in children()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    (child,) = children()
    assert child.nice() == psutil.Process().nice() + behind
    compiling.cancel()
    with suppress(asyncio.CancelledError):
        await compiling

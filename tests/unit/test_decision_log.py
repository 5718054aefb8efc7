"""The decision log: what it writes, and that nothing holds a request up or spoils the file."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.settings.router import DecisionLogSettings
from mesh.types import Alternative, Decision, Message, Role, Specialty, StageVerdict
from orchestrator.router.base import Features
from orchestrator.rules import decision_log
from orchestrator.rules.decision_log import KEPT_CHARACTERS, QUEUE, DecisionLog
from orchestrator.rules.log_file import read_log

MATH = Specialty("math")


def _decision(stage: str = "classifier") -> Decision:
    return Decision(
        specialty=MATH,
        stage=stage,
        rule=None,
        confidence=0.9,
        alternatives=(Alternative(specialty=MATH, probability=0.9),),
        verdicts=(
            StageVerdict(
                stage=stage,
                specialty=MATH,
                confidence=0.9,
                rule=None,
                micros=1.0,
                note="quotes the prompt",
            ),
        ),
        rules_version="abc",
    )


def _features(text: str) -> Features:
    return Features.of((Message.of(Role.USER, text),))


@asynccontextmanager
async def _running(log: DecisionLog) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(log.run())
        yield
        task.cancel()


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _log(path: Path, **more: Any) -> DecisionLog:
    return DecisionLog(DecisionLogSettings(file=str(path), **more), ManualClock())


async def test_a_decision_is_a_line_with_its_prompt_redacted(tmp_path: Path) -> None:
    path = tmp_path / "new" / "decisions.jsonl"
    log = _log(path)
    async with _running(log):
        log.record(_features("How many apples has Jane Roe?"), _decision())
        await _until(lambda: log.written == 1)
    (line,) = _lines(path)
    assert line["prompt"] == "How many apples has Xxxx Xxx?"
    assert (line["specialty"], line["stage"], line["redacted"]) == ("math", "classifier", True)
    assert line["verdicts"][0]["stage"] == "classifier"
    assert "quotes" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_log(path).decisions[0].confidence == 0.9


async def test_full_keeps_the_prompt_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = _log(path, prompts="full")
    async with _running(log):
        log.record(_features("Jane \ud800 " + "y" * 1_000_000 + " Roe"), _decision())
        await _until(lambda: log.written == 1)
    (line,) = _lines(path)
    assert line["prompt"].startswith("Jane ? y")
    assert line["prompt"].endswith("y Roe")
    assert len(line["prompt"]) <= KEPT_CHARACTERS + 2
    assert line["characters"] == 1_000_011


async def test_without_a_file_nothing_is_recorded() -> None:
    log = DecisionLog(DecisionLogSettings(), ManualClock())
    async with _running(log):
        log.record(_features("anything"), _decision())
    assert (log.written, log.dropped) == (0, 0)


async def test_a_full_queue_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    log = _log(tmp_path / "log", prompts="full")
    for number in range(QUEUE + 7):
        log.record(_features(f"number {number}"), _decision())
    assert log.dropped == 7
    async with _running(log):
        await _until(lambda: log.written == QUEUE)
    lines = _lines(tmp_path / "log")
    assert [lines[0]["prompt"], lines[-1]["prompt"]] == ["number 7", f"number {QUEUE + 6}"]


async def test_the_end_writes_what_is_still_queued(tmp_path: Path) -> None:
    log = _log(tmp_path / "log")
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(log.run())
        await asyncio.sleep(0)
        log.record(_features("what is this"), _decision())
        task.cancel()  # in the same turn: nobody had time to write
    assert len(_lines(tmp_path / "log")) == 1


async def test_the_file_is_begun_anew_at_its_limit_and_one_older_one_is_kept(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log"
    log = _log(path, max_bytes=4096, prompts="full")
    async with _running(log):
        for number in range(60):
            log.record(_features(f"{number} " + "z" * 300), _decision())
            await _until(lambda number=number: log.written == number + 1)  # type: ignore[misc]
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1"]
    assert path.stat().st_size <= 4096
    assert (tmp_path / "log.1").stat().st_size <= 4096
    prompts = [each["prompt"] for file in ("log.1", "log") for each in _lines(tmp_path / file)]
    numbers = [int(prompt.split()[0]) for prompt in prompts]
    assert numbers == list(range(60 - len(numbers), 60))


async def test_a_full_disk_costs_decisions_and_one_log_line_and_no_half_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "log"
    log = _log(path)
    full = False
    write = os.write

    def on_a_disk(file: int, data: Any) -> int:
        if full:
            write(file, bytes(data)[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(decision_log.os, "write", on_a_disk)
    with caplog.at_level(logging.INFO, logger=decision_log.__name__):
        async with _running(log):
            log.record(_features("first"), _decision())
            await _until(lambda: log.written == 1)
            full = True
            for lost in range(1, 4):
                log.record(_features("lost"), _decision())
                await _until(lambda lost=lost: log.dropped == lost)  # type: ignore[misc]
            full = False
            log.record(_features("second"), _decision())
            await _until(lambda: log.written == 2)
    assert [each["prompt"] for each in _lines(path)] == ["first", "second"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "No space left on device" in caplog.records[0].message


async def test_a_folder_that_cannot_be_made_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    log = _log(tmp_path / "file" / "log")
    async with _running(log):
        for lost in range(1, 3):
            log.record(_features("lost"), _decision())
            await _until(lambda lost=lost: log.dropped == lost)  # type: ignore[misc]
    assert len(caplog.records) == 1


async def test_reading_skips_what_is_no_decision_and_counts_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = _log(path)
    async with _running(log):
        log.record(_features("one"), _decision())
        await _until(lambda: log.written == 1)
    good = path.read_bytes()
    path.write_bytes(b"\xff\n{}\n" + good + good[:20])
    found = read_log(path)
    assert (len(found.decisions), found.unreadable) == (1, 3)
    path.write_bytes(good * 20)
    assert len(read_log(path).decisions) == 5  # look-alikes are one client's loop, or a template

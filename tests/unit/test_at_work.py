"""What a runner says that it is at, read from outside: who an engine was lost to, and how long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from mesh.errors import EngineFailed, EngineLost, FormLost
from node.runner import watching
from node.runner.at_work import AtWork, SharedWord, Stage, Word, shared
from node.runner.watching import LIMITS_S, KernelKills, WorkWatch


@pytest.fixture
def word() -> Iterator[SharedWord]:
    found = SharedWord()
    yield found
    found.close()


def test_the_agent_reads_what_the_runner_wrote_last(word: SharedWord) -> None:
    work = AtWork(shared(word.fd))
    assert word.read() == Word(0, Stage.NOTHING, 0)
    work.opening(1, 7)
    assert word.read() == Word(7, Stage.OPENING, 1)
    work.form()
    assert word.read() == Word(7, Stage.FORM, 2)
    work.back()
    work.opening(0, 9)
    work.step([0, 1])
    assert word.read() == Word(0, Stage.STEP, 5)
    work.form(1)
    assert word.read() == Word(7, Stage.FORM, 6)
    work.back()
    assert word.read().sequence == 0
    work.step([0])
    assert word.read() == Word(9, Stage.STEP, 8)
    work.nothing()
    assert word.read() == Word(0, Stage.NOTHING, 9)


@pytest.mark.parametrize(
    ("at", "kind"),
    [
        (Word(0, Stage.NOTHING, 1), EngineFailed),
        (Word(0, Stage.STEP, 1), EngineFailed),
        (Word(8, Stage.FORM, 1), EngineFailed),
        (Word(7, Stage.OPENING, 1), EngineLost),
        (Word(7, Stage.STEP, 1), EngineLost),
        (Word(7, Stage.FORM, 1), FormLost),
    ],
)
def test_only_the_one_that_was_worked_for_alone_is_to_blame(
    at: Word, kind: type[EngineFailed]
) -> None:
    loss = at.loss(7, "it hung")
    assert type(loss) is kind
    assert loss.message.startswith("it hung")


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of CPU that the process has used; a test puts others there."""
    spent = [10.0]
    monkeypatch.setattr(watching, "cpu_s", lambda _: spent[0])
    return spent


def test_one_piece_of_work_that_takes_too_much_time_of_the_process(
    word: SharedWord, cpu: list[float]
) -> None:
    work, watch = AtWork(shared(word.fd)), WorkWatch(word, 1, None)
    work.opening(0, 7)
    work.form()
    assert watch.look() is None
    cpu[0] += LIMITS_S[Stage.FORM]
    assert watch.look() is None  # stopped, or not let run, it would use none
    work.form()  # the next token
    assert watch.look() is None
    cpu[0] += LIMITS_S[Stage.FORM] + 0.1
    assert "more than 1 s" in (watch.look() or "")
    work.step([0])
    cpu[0] += 1000.0
    assert watch.look() is None  # of a step as a whole, ``hang_s`` is the limit


def test_memory_of_its_own_is_limited(word: SharedWord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "own_bytes", lambda _: 2_000_000_001)
    assert WorkWatch(word, 1, None).look() is None
    assert WorkWatch(word, 1, 3_000_000_000).look() is None
    why = WorkWatch(word, 1, 2_000_000_000).look()
    assert why is not None
    assert "2.00 GB" in why


def test_only_a_kill_of_the_kernels_just_now_is_taken_for_the_end_of_a_runner() -> None:
    killed = [3]
    kills = KernelKills(lambda: killed[0])
    assert not kills.lately()
    killed[0] += 1
    assert kills.lately()
    kills.look()  # between the kill and the news that the runner is gone
    assert kills.lately()
    kills.look()
    assert not kills.lately()  # somebody else's, for the runner went on
    killed[0] += 1
    assert kills.lately()


def proc(monkeypatch: pytest.MonkeyPatch, told: dict[str, str | type[Exception]]) -> None:
    """Files of the kernel, as the test has them."""

    def read(path: Path) -> str:
        said = told.get(str(path), FileNotFoundError)
        if isinstance(said, str):
            return said
        raise said

    monkeypatch.setattr(Path, "read_text", read)


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        ("Name:\tx\nRssAnon:\t   12 kB\nRssFile:\t 99 kB\n", 12 * 1024),
        ("RssAnon:\n", None),
        ("RssAnon: many kB\n", None),
        (FileNotFoundError, None),
        (PermissionError, None),
    ],
)
def test_memory_of_its_own_is_what_is_no_files(
    told: str | type[Exception], taken: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc(monkeypatch, {"/proc/7/status": told})
    assert watching.own_bytes(7) == taken


def test_where_a_kernel_does_not_tell_them_apart_all_memory_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proc(monkeypatch, {"/proc/7/status": "Name:\tx\n"})

    class Process:
        def __init__(self, pid: int) -> None:
            assert pid == 7

        def memory_info(self) -> SimpleNamespace:
            return SimpleNamespace(rss=4711)

        def cpu_times(self) -> SimpleNamespace:
            return SimpleNamespace(user=1.5, system=2.0)

    monkeypatch.setattr(watching.psutil, "Process", Process)
    assert watching.own_bytes(7) == 4711
    assert watching.cpu_s(7) == 3.5

    def gone(pid: int) -> None:
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(watching.psutil, "Process", gone)
    assert watching.own_bytes(7) is None
    assert watching.cpu_s(7) is None


@pytest.mark.parametrize(
    ("told", "kills"),
    [
        ("pgfault 9\noom_kill 3\noom_kill_x 7\n", 3),
        ("oom_kill_x 7\n", 0),
        ("oom_kill \n", 0),
        ("oom_kill x\n", 0),
        (FileNotFoundError, 0),
    ],
)
def test_the_kernels_kills_are_read_where_it_counts_them(
    told: str | type[Exception], kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc(monkeypatch, {"/proc/vmstat": told})
    assert watching.kernel_kills() == kills


def test_what_cannot_be_looked_at_is_not_called_too_much(
    word: SharedWord, cpu: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "own_bytes", lambda _: None)
    assert WorkWatch(word, 1, 1).look() is None
    monkeypatch.setattr(watching, "own_bytes", lambda _: 5)
    assert WorkWatch(word, 1, 5).look() is None
    work = AtWork(shared(word.fd))
    work.form()
    watch = WorkWatch(word, 1, None)
    seconds: list[float | None] = [None, 1.0, None, 1.5, 2.5]
    monkeypatch.setattr(watching, "cpu_s", lambda _: seconds.pop(0))
    assert [watch.look() for _ in range(5)] == [None] * 5, "time that was not told begins anew"


def test_what_took_too_long_or_too_much_is_said(
    word: SharedWord, cpu: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, watch = AtWork(shared(word.fd)), WorkWatch(word, 7, 1_500_000_000)
    asked: list[int] = []
    monkeypatch.setattr(watching, "own_bytes", lambda pid: asked.append(pid) or 2_250_000_000)
    assert watch.look() == ("the runner took 2.25 GB of memory and may take 1.50 GB; it was killed")
    assert asked == [7]
    work.opening(0, 7)
    monkeypatch.setattr(watching, "cpu_s", lambda pid: cpu[0] + 1_000 * (pid != 7))
    watch = WorkWatch(word, 7, None)
    cpu[0] += 20.5
    assert watch.look() == (
        "the engine hangs: reading one conversation took more than 20 s; it was killed"
    )

"""How far a build of llama.cpp is: what is read of it, what is told."""

from __future__ import annotations

import io
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from node.engines.llama_cpp.cuda import progress as module
from node.engines.llama_cpp.cuda.progress import (
    LAST_LINES,
    QUIET_EVERY_S,
    SHOWN_EVERY_S,
    Progress,
    _kept,
    _told,
    main,
    minutes,
    progress,
    watched,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def clock(*times: float) -> Callable[[], float]:
    rest = iter(times)
    return lambda: next(rest)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[0/0] x", Progress(0.0)),
        ("[1/1] x", Progress(1.0)),
        ("[0/1] x", Progress(0.0)),
        ("[400/300] x", Progress(1.0)),
        ("[100%] x", Progress(1.0)),
        ("[ 50%] Building C object ggml.c.o", Progress(0.5, "ggml.c")),
        ("[x/300] x", None),
        ("", None),
    ],
)
def test_a_line_says_how_far_it_is_or_nothing(line: str, told: Progress | None) -> None:
    assert progress(line) == told


@pytest.mark.parametrize(
    ("share", "spent_s", "words"),
    [
        (0.029, 60.0, "compiling: 3%"),
        (0.03, 60.0, "compiling: 3%, about 32 min left"),
        (0.5, 2.9, "compiling: 50%"),
        (0.5, 3.0, "compiling: 50%, about 5 s left"),
        (1.0, 60.0, "compiling: 100%, about 5 s left"),
    ],
)
def test_the_end_is_guessed_once_there_is_something_to_guess_from(
    share: float, spent_s: float, words: str
) -> None:
    assert Progress(share).words(spent_s) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "5 s"), (7.4, "5 s"), (8.0, "10 s"), (89.0, "90 s"), (90.0, "2 min"), (600.0, "10 min")],
)
def test_a_guess_has_no_more_digits_than_it_deserves(seconds: float, words: str) -> None:
    assert minutes(seconds) == words


@pytest.mark.parametrize(("often", "every"), [(True, SHOWN_EVERY_S), (False, QUIET_EVERY_S)])
def test_what_is_new_is_told_at_a_pace_that_the_place_can_take(often: bool, every: float) -> None:
    lines = ["[1/4] a", "-- nothing", "[2/4] b", "[3/4] c", "[4/4] d"]
    times = clock(100.0, 100.0 + every * 0.9, 100.0 + every, 100.0 + every * 1.9)
    told = list(_told(lines, times, often))
    assert told == ["compiling: 25%", Progress(0.75).words(every)]


def test_of_what_a_builder_says_the_end_is_kept() -> None:
    last: deque[str] = deque(maxlen=2)
    assert list(_kept(["a \n", "b\n", "c\n"], last)) == ["a \n", "b\n", "c\n"]
    assert list(last) == ["b", "c"]


SAYS = "import os; [print(n) for n in range(20)]; print(os.environ.get({!r})); raise SystemExit(3)"


def said(variable: str, **options: object) -> tuple[int, list[str]]:
    command = [sys.executable, "-c", SAYS.format(variable)]
    return watched(command, title="x", out=io.StringIO(), **options)  # type: ignore[arg-type]


def test_a_command_is_run_with_as_many_compilers_as_are_meant() -> None:
    code, last = said("CMAKE_BUILD_PARALLEL_LEVEL", jobs=3)
    assert code == 3
    assert last == [*(str(n) for n in range(21 - LAST_LINES, 20)), "3"]
    cores = str(len(os.sched_getaffinity(0)))
    assert said("CMAKE_BUILD_PARALLEL_LEVEL")[1][-1] == cores


def test_a_command_has_the_environment_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUADRON_SAYS", "ours")
    assert said("SQUADRON_SAYS")[1][-1] == "ours"
    assert said("SQUADRON_SAYS", environment={"PATH": os.defpath})[1][-1] == "None"


SPEAKS = "import sys; print('[1/4] Building C object a.c.o'); print('bad', file=sys.stderr)"


def test_a_pipe_gets_lines_and_a_terminal_one_line_that_goes() -> None:
    pipe, terminal = io.StringIO(), Terminal()
    for out in (pipe, terminal):
        command = [sys.executable, "-c", SPEAKS + "; print(sys.stdin.read() or 'nothing')"]
        code, last = watched(command, title="llama.cpp", out=out)
        assert code == 0
        assert sorted(last) == sorted(["[1/4] Building C object a.c.o", "bad", "nothing"])
    assert pipe.getvalue() == "llama.cpp: compiling a.c: 25%\n"
    assert terminal.getvalue() == "\r\x1b[K" + "llama.cpp: compiling a.c: 25%" + "\r\x1b[K"


def test_a_compiler_reads_nothing_of_what_is_typed_meanwhile() -> None:
    reads, writes = os.pipe()
    os.write(writes, b"typed")
    os.close(writes)
    before = os.dup(0)
    os.dup2(reads, 0)
    try:
        script = "import sys; print(sys.stdin.read() or 'nothing')"
        _, last = watched([sys.executable, "-c", script], title="x", out=io.StringIO())
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(reads)
    assert last == ["nothing"]


def test_what_is_no_text_is_shown_as_far_as_it_is() -> None:
    code, last = watched(
        [sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'a\xff\n')"],
        title="x",
        out=io.StringIO(),
    )
    assert (code, last) == (0, ["a\ufffd"])


def test_a_line_is_cut_before_it_breaks_the_terminal() -> None:
    terminal = Terminal()
    module._show(terminal, "x" * 201)
    assert terminal.getvalue() == "\r\x1b[K" + "x" * 200


def test_what_is_broken_off_takes_its_compiler_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def broken(lines: Iterator[str], *_: object) -> Iterator[str]:
        begun.append(int(next(iter(lines))))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_told", broken)
    script = "import os; print(os.getpid(), flush=True); import signal; signal.pause()"
    with pytest.raises(KeyboardInterrupt):
        watched([sys.executable, "-c", script], title="x", out=io.StringIO())
    with pytest.raises(ProcessLookupError):
        os.kill(begun[0], 0)


def test_a_failure_ends_with_what_was_said_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([sys.executable, "-c", "print('no nvcc'); raise SystemExit(2)"]) == 2
    assert capsys.readouterr().err == "no nvcc\nthe set-up failed; see above\n"
    assert main([sys.executable, "-c", SPEAKS]) == 0
    assert capsys.readouterr().err == "set-up: compiling a.c: 25%\n"
    assert main(["/nonexistent/nvcc"]) == 1
    assert "the set-up failed: " in capsys.readouterr().err

"""``python -m node.engines.llama_cpp.cuda.progress COMMAND…``: runs what compiles llama.cpp, on
all cores, and says which package it fetches, how far it is and how long is left.

Nothing but the standard library: this runs before anything is installed. On a terminal one line
that is written over; elsewhere a line every half minute. What the command said last is shown when
it fails.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

QUIET_EVERY_S = 30.0
SHOWN_EVERY_S = 0.5
LAST_LINES = 15
# As Ninja tells it ("[12/345] Building CXX object ..."), and make ("[ 12%] Building ...").
_STEP = re.compile(r"\[\s*(?:(\d+)/(\d+)|(\d+)%)\]")
_PACKAGE = re.compile(r"^Collecting ([\w.-]+)")  # as pip tells it
_INSTALLS = "Installing collected packages:"
_WHAT = re.compile(r"Building \w+ object (?:\S*/)?([\w.+-]+?)\.o\b")


@dataclass(frozen=True, slots=True)
class Progress:
    """``share``: 0 to 1, None before anything is compiled. ``what``: the file, or what is done
    before and after it."""

    share: float | None
    what: str = ""

    def words(self, spent_s: float) -> str:
        """``compiling ggml-cuda.cu: 41%, about 4 min left``. ``spent_s``: since it began to
        compile."""
        if self.share is None:
            return self.what or "preparing"
        told = f"compiling{f' {self.what}' if self.what else ''}: {100 * self.share:.0f}%"
        if self.share < 0.03 or spent_s < 3.0:  # too early to tell
            return told
        left = spent_s * (1.0 - self.share) / self.share
        return f"{told}, about {minutes(left)} left"


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1, round(seconds / 5)) * 5} s"


def progress(line: str) -> Progress | None:
    """None: the line tells nothing of it."""
    if package := _PACKAGE.match(line):
        return Progress(None, f"fetching {package[1]}")
    if line.startswith(_INSTALLS):
        return Progress(None, "installing what was fetched")
    step = _STEP.search(line)
    if step is None:
        return None
    done, all_of, percent = step.groups()
    share = int(percent) / 100 if percent else int(done) / max(1, int(all_of))
    what = _WHAT.search(line)
    return Progress(min(1.0, share), what[1] if what else "")


def watched(
    command: Sequence[str],
    *,
    title: str,
    out: IO[str],
    environment: Mapping[str, str] | None = None,
    jobs: int | None = None,
) -> tuple[int, list[str]]:
    """Its exit code, and the last lines that it said. ``jobs``: compilers at once, None for one a
    core. Raises ``OSError`` when it cannot be started."""
    cores = jobs or len(os.sched_getaffinity(0))
    env = {
        **(os.environ if environment is None else environment),
        "CMAKE_BUILD_PARALLEL_LEVEL": str(cores),
    }
    with subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=env,
    ) as process:
        last: deque[str] = deque(maxlen=LAST_LINES)
        try:
            if process.stdout is not None:
                for told in _told(_kept(process.stdout, last), time.monotonic, out.isatty()):
                    _show(out, f"{title}: {told}")
        except BaseException:
            process.terminate()
            raise
        finally:
            if out.isatty():
                out.write("\r\x1b[K")
                out.flush()
        return process.wait(), list(last)


def _kept(lines: Iterable[str], last: deque[str]) -> Iterator[str]:
    for line in lines:
        last.append(line.rstrip())
        yield line


def _told(lines: Iterable[str], clock: Callable[[], float], often: bool) -> Iterator[str]:
    """What to say, when there is something new to say and it is time. ``clock``: seconds."""
    began: float | None = None
    said = float("-inf")
    every = SHOWN_EVERY_S if often else QUIET_EVERY_S
    for line in lines:
        found = progress(line)
        if found is None:
            continue
        now = clock()
        if began is None and found.share is not None:
            began = now
        if now - said >= every:
            said = now
            yield found.words(now - (now if began is None else began))


def _show(out: IO[str], line: str) -> None:
    if out.isatty():
        out.write(f"\r\x1b[K{line[:200]}")
    else:
        out.write(f"{line}\n")
    out.flush()


def main(command: Sequence[str]) -> int:
    try:
        code, last = watched(command, title="set-up", out=sys.stderr)
    except OSError as error:
        sys.stderr.write(f"the set-up failed: {error}\n")
        return 1
    if code:
        sys.stderr.write("\n".join([*last, "the set-up failed; see above", ""]))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

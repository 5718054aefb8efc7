"""Looks at a runner's process from outside: work for one sequence that takes too long, and memory.

Time is the process's own: one that was stopped, or that a busy box does not let run, has not hung.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil

from node.runner.at_work import SharedWord, Stage, Word

POLL_S = 0.2
# Seconds of CPU for one piece of work. A token's grammar takes milliseconds, and everybody's
# tokens wait meanwhile; a conversation of megabytes takes a tokenizer seconds.
LIMITS_S = {Stage.FORM: 1.0, Stage.OPENING: 20.0}
WORDS = {Stage.FORM: "keeping one answer to its grammar", Stage.OPENING: "reading one conversation"}
_KB = 1024


class WorkWatch:
    """Of the process ``pid``. ``memory_bytes``: that it may have of its own, pages of files left
    out; None: as much as there is."""

    def __init__(self, word: SharedWord, pid: int, memory_bytes: int | None) -> None:
        self._word = word
        self._pid = pid
        self._memory_bytes = memory_bytes
        self._seen = word.read()
        self._began_s = cpu_s(pid)

    def look(self) -> str | None:
        """Why it must be killed, in words; None: it may go on."""
        return self._too_long(self._word.read()) or self._too_much()

    def _too_long(self, word: Word) -> str | None:
        limit = LIMITS_S.get(word.stage)
        if limit is None:
            self._seen = word
            return None
        spent = cpu_s(self._pid)
        if word != self._seen or self._began_s is None or spent is None:
            self._seen, self._began_s = word, spent
            return None
        if spent - self._began_s <= limit:
            return None
        return f"the engine hangs: {WORDS[word.stage]} took more than {limit:g} s; it was killed"

    def _too_much(self) -> str | None:
        if self._memory_bytes is None:
            return None
        taken = own_bytes(self._pid)
        if taken is None or taken <= self._memory_bytes:
            return None
        return (
            f"the runner took {taken / 1e9:.2f} GB of memory and may take "
            f"{self._memory_bytes / 1e9:.2f} GB; it was killed"
        )


def cpu_s(pid: int) -> float | None:
    """CPU time that the process has used, in seconds; None when the system does not say."""
    try:
        times = psutil.Process(pid).cpu_times()
    except (psutil.Error, OSError):
        return None
    return float(times.user + times.system)


def own_bytes(pid: int) -> int | None:
    """Memory of the process that is no file's; None when the system does not say."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * _KB
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OSError, ValueError, LookupError):
        return None


def kernel_kills() -> int:
    """How many processes the kernel has killed since it lacked memory; 0 when it does not say."""
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    except (OSError, ValueError, LookupError):
        pass
    return 0


class KernelKills:
    """Whether the kernel killed somebody for want of memory just now: within the last two looks.
    Not since the runner began: that may have been anybody, days ago. Not within the last look
    alone: a look may fall between a kill and the news of it."""

    def __init__(self, count: Callable[[], int] = kernel_kills) -> None:
        self._count = count
        self._before = self._last = count()

    def look(self) -> None:
        self._before, self._last = self._last, self._count()

    def lately(self) -> bool:
        return self._count() > self._before

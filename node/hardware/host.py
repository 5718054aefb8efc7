"""The box's CPU and memory, as far as this process may use them (cgroup limits included)."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

import psutil

from mesh.doors.files import none_left
from mesh.fleet.records import Cpu, Memory
from node.hardware.readings import guarded


class Host:
    """``root`` is where ``/proc`` and ``/sys`` hang; tests pass a folder of their own."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._name = _cpu_name(root)
        guarded(lambda: psutil.cpu_percent(interval=None))  # the first only starts the measurement
        self._cpu = self._read_cpu()
        self._memory = self._read_memory()

    def cpu(self) -> Cpu:
        """``load``: busy share 0..1 of all cores since the last call. The reading before, where
        there is no file left to read with."""
        try:
            self._cpu = self._read_cpu()
        except OSError as error:
            if not none_left(error):
                raise
        return self._cpu

    def _read_cpu(self) -> Cpu:
        logical = os.cpu_count() or 1
        percent = guarded(lambda: psutil.cpu_percent(interval=None))
        return Cpu(
            name=self._name,
            physical_cores=_physical_cores() or logical,
            logical_cores=logical,
            load=None if percent is None else round(percent / 100, 2),
        )

    def memory(self) -> Memory:
        """Bytes. A cgroup limit below the box's memory is the total. As ``cpu``."""
        try:
            self._memory = self._read_memory()
        except OSError as error:
            if not none_left(error):
                raise
        return self._memory

    def _read_memory(self) -> Memory:
        box = guarded(psutil.virtual_memory)
        if box is not None:
            whole, available = int(box.total), int(box.available)
        else:  # without /proc the kernel still says how many pages there are
            page = os.sysconf("SC_PAGE_SIZE")
            whole, available = (page * os.sysconf(f"SC_{n}PHYS_PAGES") for n in ("", "AV"))
        total = whole
        for limit, used in _memory_groups(self._root):
            if limit < whole:
                total = min(total, limit)
                available = min(available, max(0, limit - used))
        return Memory(total_bytes=total, available_bytes=available)

    def threads(self) -> int:
        """Threads an engine should use by default: physical cores, fewer where the process may not
        use them all (CPU affinity, cgroup quota)."""
        physical = _physical_cores() or os.cpu_count() or 1
        usable = min(physical, len(os.sched_getaffinity(0)), *_cpu_quotas(self._root))
        return max(1, usable)


class BusyShare:
    """How much of the box's cores was busy since the last call, 0 to 1; 0 at the first, and where
    nobody says. Its own counters: ``psutil.cpu_percent`` has one for all who ask."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None

    def __call__(self) -> float:
        times = guarded(psutil.cpu_times)
        if times is None:
            return 0.0
        # A guest's time stands in user and nice, too.
        named: dict[str, float] = times._asdict()
        whole = sum(named[name] for name in named if not name.startswith("guest"))
        idle = named["idle"] + named.get("iowait", 0.0)
        before, self._before = self._before, (whole, idle)
        if before is None or whole <= before[0]:
            return 0.0
        return min(1.0, max(0.0, 1.0 - (idle - before[1]) / (whole - before[0])))


def _physical_cores() -> int | None:
    found: int | None = guarded(lambda: psutil.cpu_count(logical=False))
    return found


def _cpu_name(root: Path) -> str:
    # x86 says "model name", ARM boards "Model" or "Hardware", some only the architecture.
    wanted = {"model name": 0, "Model": 1, "Hardware": 2}
    found: dict[int, str] = {}
    for line in _read(root / "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        rank = wanted.get(key.strip())
        if rank is not None and value.strip():
            found.setdefault(rank, " ".join(value.split()))
    if found:
        return found[min(found)]
    return platform.processor() or platform.machine() or "unknown CPU"


def _groups(root: Path) -> list[Path]:
    """The process's cgroup v2 folder and those above it: a limit anywhere on the way holds."""
    base = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            path = base / line.removeprefix("0::").strip().lstrip("/")
            above = [path, *path.parents]
            return [folder for folder in above if folder == base or base in folder.parents]
    return [base]


def _memory_groups(root: Path) -> list[tuple[int, int]]:
    """(limit, bytes in use that cannot be dropped) of every group that has a limit."""
    found = []
    for group in _groups(root):
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None:
            found.append((limit, max(0, (used or 0) - _file_cache(group / "memory.stat"))))
    # cgroup v1: within a container the process's own group is mounted at the top.
    v1 = root / "sys/fs/cgroup/memory"
    limit = _number(v1 / "memory.limit_in_bytes")
    if limit is not None:
        used = _number(v1 / "memory.usage_in_bytes") or 0
        found.append((limit, max(0, used - _file_cache(v1 / "memory.stat"))))
    return found


def _file_cache(stat: Path) -> int:
    """Bytes of page cache that the kernel would drop first (``inactive_file``)."""
    for line in _read(stat).splitlines():
        key, _, value = line.partition(" ")
        if key in ("inactive_file", "total_inactive_file") and value.isdigit():
            return int(value)
    return 0


def _cpu_quotas(root: Path) -> list[int]:
    quotas = []
    for group in _groups(root):
        quota, _, period = _read(group / "cpu.max").strip().partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            quotas.append(math.ceil(int(quota) / int(period)))
    v1 = root / "sys/fs/cgroup/cpu"
    quota_v1, period_v1 = _number(v1 / "cpu.cfs_quota_us"), _number(v1 / "cpu.cfs_period_us")
    if quota_v1 and period_v1:
        quotas.append(math.ceil(quota_v1 / period_v1))
    return quotas


def _number(path: Path) -> int | None:
    """None for a file that is not there or says ``max``."""
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # another kernel or container layout: this source says nothing

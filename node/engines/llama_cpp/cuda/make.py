"""Compiles, tries and keeps a build. Blocking: minutes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from mesh.child.ending import describe_exit
from mesh.child.start import python
from mesh.cleaned import cleaned
from mesh.errors import ConfigError, EngineFailed
from node.engines.llama_cpp.cuda import kept
from node.engines.llama_cpp.cuda.found import backends
from node.engines.llama_cpp.cuda.kept import Built
from node.engines.llama_cpp.cuda.plan import BuildPlan
from node.engines.llama_cpp.cuda.progress import watched

LEAST_FREE_BYTES = 6 * 1024**3  # CUDA's intermediate files
_BUILDING = ".building-"
TRIAL_S = 180.0  # the first use of a card without persistence mode takes long


def made(plan: BuildPlan, *, cards: Sequence[str], model: Path | None, out: IO[str]) -> Built:
    """A build that works, kept and used from now on. ``cards``: in words. ``model``: to try it
    with. Raises ``ConfigError`` and ``EngineFailed``; what was used before then stays so."""
    try:
        wanted = version(kept.DISTRIBUTION)
    except PackageNotFoundError:
        raise ConfigError(
            f"{kept.DISTRIBUTION} is not installed: pip install 'squadron-mesh[node]'"
        ) from None
    folder = kept.place(plan.name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.parent):
            _check_disk(folder.parent)
            built = _made(plan, wanted, cards, model, folder, out)
    except (OSError, zipfile.BadZipFile) as error:
        raise EngineFailed(f"the build cannot be kept in {folder.parent}: {error}") from None
    kept.use(built.name)
    return built


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else builds here; gigabytes that a killed build left go. Raises ``ConfigError``."""
    with (folder / ".building").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another `mesh engine build` is at work in {folder}; wait for it, or end it"
            ) from None
        for left in folder.glob(f"{_BUILDING}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise ConfigError(
            f"{folder} has {free / 1e9:.1f} GB free, and compiling takes up to "
            f"{LEAST_FREE_BYTES / 1e9:.0f} GB; make room, or say another place with "
            "$MESH_STATE_DIR"
        )


def _made(
    plan: BuildPlan,
    wanted: str,
    cards: Sequence[str],
    model: Path | None,
    folder: Path,
    out: IO[str],
) -> Built:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=_BUILDING, dir=folder.parent) as place:
        wheel = _compiled(plan, wanted, Path(place), out)
        unpacked = Path(place) / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        built = Built(
            name=plan.name,
            version=wanted,
            cards=tuple(cards),
            minutes=round((time.monotonic() - began) / 60, 1),
        )
        built = replace(built, tried=works(unpacked, model))
        kept.keep(unpacked, built)
        if folder.exists():  # one of before, which goes with ``place``
            folder.rename(Path(place) / "before")
        unpacked.rename(folder)
    return built


def works(folder: Path, model: Path | None) -> str:
    """What the build in ``folder`` said, in words. Raises ``EngineFailed``."""
    if not backends(folder / "llama_cpp"):
        raise EngineFailed(
            "what was compiled has no part for GPUs; see that CMAKE_ARGS does not switch it off"
        )
    said = trial(folder, model)
    if not said.get("offload"):
        raise EngineFailed(
            "the build finds no GPU that it could compute on; is the driver loaded "
            "(`nvidia-smi`), and may this user open /dev/nvidia*?"
        )
    if model is None:
        return f"computes on {said.get('devices') or 'a GPU'}; not tried with a model"
    gpu, cpu = str(said.get("gpu", "")), str(said.get("cpu", ""))
    if not gpu.strip() or gpu.split()[:3] != cpu.split()[:3]:
        raise EngineFailed(
            f"the model says {cleaned(gpu, 60)!r} on the GPU and {cleaned(cpu, 60)!r} on the CPU: "
            "the build computes wrongly and is not used"
        )
    return f"computes on {said.get('devices') or 'a GPU'}, and says what the CPU says"


def trial(folder: Path | None, model: Path | None) -> dict[str, Any]:
    """What the build in ``folder`` says of itself, None for the installed one. Raises
    ``EngineFailed``."""
    environment = dict(os.environ)
    environment.pop(kept.VARIABLE, None)
    if folder is not None:
        environment[kept.VARIABLE] = str(folder)
    command = python("node.engines.llama_cpp.cuda.trial", *([str(model)] if model else []))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TRIAL_S,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise EngineFailed(f"trying the build takes more than {TRIAL_S:.0f} s") from None
    try:
        said = json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 else None
    except (ValueError, IndexError):
        said = None
    if not isinstance(said, dict):
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "")
        why = cleaned(last, 200) or describe_exit(done.returncode)
        raise EngineFailed(f"the build does not start: {why}")
    return said


def _compiled(plan: BuildPlan, wanted: str, place: Path, out: IO[str]) -> Path:
    """The wheel. Raises ``EngineFailed``."""
    arguments = " ".join(filter(None, (os.environ.get("CMAKE_ARGS"), *plan.cmake_arguments)))
    environment = {
        **os.environ,
        "CMAKE_ARGS": arguments,
        "CUDACXX": f"{plan.toolkit.folder}/bin/nvcc",
    }
    command = [
        *(sys.executable, "-m", "pip", "wheel", "--verbose", "--disable-pip-version-check"),
        *(
            "--no-deps",
            "--no-cache-dir",
            "--no-binary",
            kept.DISTRIBUTION,
            "--wheel-dir",
            str(place),
        ),
        f"{kept.DISTRIBUTION}=={wanted}",
    ]
    code, last = watched(
        command, title="llama.cpp", out=out, environment=environment, jobs=plan.jobs
    )
    wheels = list(place.glob("*.whl"))
    if code or not wheels:
        log = kept.folder() / f"{plan.name}.log"
        log.write_text("\n".join(last) + "\n", encoding="utf-8")
        wrong = next((line for line in last if "error" in line.lower()), last[-1] if last else "")
        raise EngineFailed(
            f"llama.cpp did not compile: {cleaned(wrong, 200)}; the last lines are in {log}, and "
            "the CPU build goes on as before"
        )
    return wheels[0]

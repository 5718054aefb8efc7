"""Fit estimates against what loading really takes, on generated GGUF shapes.

    python -m benchmarks.fit [--folder DIR]

Method. Eight models of 60 to 300 MB with random weights are written, one at a time, and deleted:
other depths, widths, GQA ratios, quantisations, architectures, contexts and slots. Each is loaded
by the ``llama_cpp`` engine in a fresh process, every slot is filled in whole batches and a few
tokens are drawn, so that all memory that was reserved is touched. Compared, in MiB:

* weights, cache and compute with the figures that llama.cpp itself gives (``llama_model_size``, its
  log); the compute estimate has the CPU's work area in it, which llama.cpp does not log;
* the total with the process's proportional set size, less the mapped originals of weights that
  llama.cpp copied into another form (CPU_REPACK), which are never read again and may be dropped.

``error`` is estimate / measured - 1. ``without base``: the same for what loading adds, without the
memory that the process had before it loaded. On the CPU: no GPU is measured here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import machine
from node.engines.estimate import CPU
from node.engines.llama_cpp.memory.need import RUNNER_BYTES, need
from node.engines.llama_cpp.memory.repacked import twice_bytes
from node.models.catalogue import inspect
from training.rigs.gguf_shapes import F16, Q4_0, Q4_K, Q6_K, Recipe, write

MIB = 1024 * 1024
BAR = 0.10
LOAD_S = 300.0


@dataclass(frozen=True, slots=True)
class Case:
    recipe: Recipe
    slots: int
    context: int


CASES = (
    Case(Recipe(name="llama Q8_0, MHA", width=1024, layers=8, heads=16, groups=16), 4, 1024),
    Case(
        Recipe(
            name="llama Q4_0, GQA 4",
            width=1024,
            layers=16,
            heads=16,
            groups=4,
            feed_forward=2816,
            weights=Q4_0,
        ),
        4,
        2048,
    ),
    Case(
        Recipe(
            name="llama Q4_K, GQA 8",
            width=1536,
            layers=12,
            heads=24,
            groups=3,
            feed_forward=4096,
            vocabulary=32_000,
            weights=Q4_K,
        ),
        8,
        4096,
    ),
    Case(
        Recipe(
            name="llama F16, GQA 2",
            width=768,
            layers=12,
            heads=12,
            groups=6,
            feed_forward=2048,
            vocabulary=32_000,
            weights=F16,
        ),
        1,
        4000,
    ),
    Case(
        Recipe(
            name="qwen2 Q6_K, GQA 8",
            architecture="qwen2",
            width=1024,
            layers=8,
            heads=16,
            groups=2,
            feed_forward=4864,
            vocabulary=100_000,
            weights=Q6_K,
            tied=True,
        ),
        2,
        3000,
    ),
    Case(
        Recipe(
            name="qwen3 Q8_0, 28 layers",
            architecture="qwen3",
            width=512,
            layers=28,
            heads=8,
            groups=4,
            head_width=128,
            feed_forward=1536,
            vocabulary=65_536,
            tied=True,
        ),
        4,
        512,
    ),
    Case(
        Recipe(
            name="gemma2 Q8_0, windows",
            architecture="gemma2",
            width=768,
            layers=10,
            heads=4,
            groups=2,
            head_width=256,
            feed_forward=4096,
            vocabulary=65_536,
            context=8192,
            tied=True,
            window=512,
        ),
        2,
        4096,
    ),
    Case(
        Recipe(
            name="llama Q8_0, 8 experts",
            width=512,
            layers=8,
            heads=8,
            groups=4,
            feed_forward=1408,
            experts=8,
        ),
        4,
        2048,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Bytes. ``told``: by llama.cpp's log. ``weights``: by its own count of its tensors. ``total``,
    ``base``: the process with the model and before."""

    told: dict[str, int]
    weights: int
    total: int
    base: int


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.fit")
    parser.add_argument("--folder", type=Path, help="where the files are made (default: temporary)")
    options = parser.parse_args(argv)
    print(
        f"{'MiB, estimate / measured':24}{'file':>6}{'weights':>14}{'cache':>14}{'compute':>14}",
        end="",
    )
    print(f"{'total':>14}{'error':>8}{'without base':>14}")
    worst: list[float] = []
    worst_added: list[float] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for case in CASES:
            path = Path(folder) / "model.gguf"
            write(path, case.recipe)
            error, added = _compare(case, path)
            worst.append(error)
            worst_added.append(added)
            path.unlink()
    largest, largest_added = max(worst, key=abs), max(worst_added, key=abs)
    print(f"\nworst error of {len(worst)}: {largest:+.1%} (without base {largest_added:+.1%})")
    print(f"bar: within {BAR:.0%} of measured: {'kept' if abs(largest) <= BAR else 'MISSED'}")
    print(machine())
    return 0 if abs(largest) <= BAR else 1


def _compare(case: Case, path: Path) -> tuple[float, float]:
    estimate = need(
        inspect(path),
        context_length=case.context,
        slots=case.slots,
        gpu_layers=-1,
        device=CPU,
    )
    load = _load(case, path)
    told = load.told
    # Of copied weights llama.cpp logs the copies, and a mapped range with the originals in it.
    weights = told["model"] if "repacked" not in told else load.weights
    error = estimate.ram_bytes / load.total - 1
    added = (estimate.ram_bytes - RUNNER_BYTES) / (load.total - load.base) - 1
    cells = (
        _pair(estimate.ram.weights_bytes, weights),
        _pair(estimate.ram.kv_bytes, told.get("KV", 0)),
        _pair(estimate.ram.compute_bytes, told["compute"] + told["output"]),
        _pair(estimate.ram_bytes, load.total),
    )
    file = f"{path.stat().st_size / MIB:.0f}"
    print(f"{case.recipe.name:24}{file:>6}" + "".join(f"{cell:>14}" for cell in cells), end="")
    print(f"{error:>+8.1%}{added:>+14.1%}", flush=True)
    return error, added


def _pair(estimate: int, measured: int) -> str:
    return f"{estimate / MIB:.1f}/{measured / MIB:.1f}"


def _load(case: Case, path: Path) -> Load:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "training.rigs.gguf_load"),
            *(str(path), str(case.slots), str(case.context)),
        ],
        capture_output=True,
        text=True,
        timeout=LOAD_S,
        check=False,
    )
    if ended.returncode:
        raise SystemExit(f"{case.recipe.name} did not load: {ended.stderr.strip()[-500:]}")
    read = json.loads(ended.stdout)
    twice = twice_bytes(read["mapped"], read["weights"], read["told"].get("repacked", 0))
    return Load(
        told=read["told"], weights=read["weights"], total=read["after"] - twice, base=read["before"]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

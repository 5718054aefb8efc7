"""`mesh models fit`: whether a model fits, before it is loaded."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from mesh.cli.options import json_option
from mesh.extras import require

if TYPE_CHECKING:
    SizeType = click.ParamType[int]
else:  # not generic at run time in every click that serves
    SizeType = click.ParamType

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)

_FEWEST_BYTES = 2**20  # that a number without a unit stands for
_MOST_BYTES = 2**50


class Size(SizeType):
    """``8G``, ``8GiB``, ``8000M``, ``8.5g``: powers of 1024, as cards are sold. A number alone is
    bytes, and refused where it cannot be meant so."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"'{value}' is not a size, for example 8G, 8GiB or 8000M", param, ctx)
        size = float(match[1]) * _UNITS[match[2].lower()]
        if not match[2] and size < _FEWEST_BYTES:
            self.fail(f"'{value}' has no unit: {value}G or {value}M, for example 8G", param, ctx)
        if size > _MOST_BYTES:
            self.fail(f"'{value}' is more than any memory has, for example 8G", param, ctx)
        return int(size)


@click.command("fit")
@click.argument("file", metavar="NAME|FILE")
@click.option("--vram", type=Size(), metavar="SIZE", help="For a GPU with so much free: 8G, 8000M.")
@click.option("--cpu", is_flag=True, help="For the CPU instead of a GPU.")
@click.option(
    "--ram",
    type=Size(),
    metavar="SIZE",
    help="What the box has free.  [default: with --vram enough, else this box's available memory]",
)
@click.option(
    "--context", type=int, metavar="N", help="Tokens a slot.  [default: the model's, at most 8192]"
)
@click.option(
    "--slots", type=int, default=4, metavar="N", help="Sequences at a time.  [default: 4]"
)
@click.option(
    "--kv",
    metavar="TYPE",
    help="How the cache is kept, in the engine's words: q8_0, q4.  [default: f16]",
)
@click.option(
    "--dtype",
    metavar="TYPE",
    help="What it is computed in, where the engine lets choose: float16.  [default: auto]",
)
@click.option("--engine", metavar="NAME", help="Who loads it.  [default: whoever loads such files]")
@click.option(
    "--gpu-layers", type=int, default=-1, metavar="N", help="As for a node: -1 all.  [default: -1]"
)
@click.option(
    "--capability", metavar="X.Y", help="The GPU's compute capability, for its own share of memory."
)
@json_option("The sums as JSON.")
def fit_model(
    file: str,
    vram: int | None,
    cpu: bool,
    ram: int | None,
    context: int | None,
    slots: int,
    kv: str | None,
    dtype: str | None,
    engine: str | None,
    gpu_layers: int,
    capability: str | None,
    as_json: bool,
) -> None:
    """Whether a model fits before it is loaded: the sums, and what would fit.

    It is one that `mesh models` lists, a GGUF file, hf:OWNER/REPO[:QUANT], or a folder of
    safetensors. Without --vram and --cpu it is held against the GPUs that this box has, as far as
    they are free now, or its CPU where it has none. Of what is not here yet only the headers are
    asked for. Exit code 0 when it fits as asked, 3 when it does not.

    \b
    mesh models fit hf:Qwen/Qwen2.5-7B-Instruct-GGUF
    mesh models fit qwen2.5-coder-7b-q4.gguf --vram 8G --slots 4
    mesh models fit qwen2.5-coder-7b-q4.gguf --cpu --context 4096
    mesh models fit ~/models/Qwen2.5-7B-Instruct --vram 24G --dtype float16
    """
    if cpu and vram is not None:
        raise click.UsageError("say --vram SIZE for a GPU or --cpu, one of them")
    if context is not None and context < 1:
        raise click.UsageError("--context must be at least 1 token")
    if gpu_layers < -1:
        raise click.UsageError("--gpu-layers must be -1 (all), 0 or more")
    require("node")
    file = _file(file)
    query = {
        "file": file,
        "look": not cpu and vram is None,
        "vram_bytes": vram,
        "ram_bytes": ram,
        "context_length": context,
        "slots": slots,
        "gpu_layers": gpu_layers,
        "kv_type": kv,
        "dtype": dtype,
        "engine": engine,
        "compute_capability": capability,
        "as_json": as_json,
    }
    # Its output and exit code are then its own; -P as in mesh/child/start.py.
    command = [sys.executable, "-P", "-m", "node.models.fit", msgspec.json.encode(query).decode()]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)


def _file(name: str) -> str:
    """``name`` as the files know it: one of this box's models where it is no path."""
    if name.startswith("hf:") or os.sep in name or name.endswith(".gguf"):
        return str(Path(name).expanduser()) if not name.startswith("hf:") else name
    if Path(name).exists():
        return name
    from mesh.local.models import named
    from node.models.hub.place import Hub

    return str(named(name, Hub.here()).path)

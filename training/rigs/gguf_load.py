"""One load in a process of its own: what llama.cpp says it allocated, and what the process has.

``python -m rigs.gguf_load FILE SLOTS CONTEXT``: prints one JSON object, sizes in bytes.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys

import llama_cpp as llama
import psutil

from mesh.types import Message, Role, Sampling
from node.engines.base import ModelSpec
from node.engines.llama_cpp import loading as llama_loading
from node.engines.llama_cpp.engine import LlamaCppEngine
from node.engines.scheduler import StepSpeed

_MIB = 1024 * 1024
_BUFFER = re.compile(r"(\S+) +(model|KV|RS|compute|output) buffer size = +([\d.]+) MiB")


def main(source: str, slots: int, context_length: int) -> int:
    lines: list[str] = []

    @llama.llama_log_callback  # type: ignore[untyped-decorator]
    def keep(_level: int, text: bytes, _data: ctypes.c_void_p) -> None:
        lines.append(text.decode("utf-8", "replace"))

    process = psutil.Process()
    before = process.memory_full_info()
    engine = LlamaCppEngine()
    llama_loading._on_log = keep  # llama.cpp's own figures are in its log
    engine.load(
        ModelSpec(id="fit", source=source, slots=slots, context_length=context_length, threads=2)
    )
    loaded = process.memory_full_info()
    _use(engine, slots, context_length)
    after = process.memory_full_info()
    told: dict[str, int] = {}
    for device, what, size in _BUFFER.findall("".join(lines)):
        key = "repacked" if what == "model" and "REPACK" in device else what
        told[key] = told.get(key, 0) + round(float(size) * _MIB)
    sys.stdout.write(
        json.dumps(
            {
                "told": told,
                "weights": llama.llama_model_size(engine._loaded().model),
                "before": before.pss,
                "loaded": loaded.pss,
                "after": after.pss,
                "mapped": _mapped(source),
            }
        )
    )
    return 0


def _use(engine: LlamaCppEngine, slots: int, context_length: int) -> None:
    """Fills every slot, in whole batches, and draws a few tokens: buffers of which nothing was
    touched do not count as memory yet."""
    text = "a" * max(1, min(context_length - 64, 1024))
    for slot in range(slots):
        engine.open(slot, [Message.of(Role.USER, text)], Sampling(), (), "")
        for _ in range(3):
            engine._pace = StepSpeed(prefill_s=1e-9)  # else a slow box would take small chunks
            engine.step(frozenset())


def _mapped(source: str) -> int:
    """Bytes of the model's file that are in memory and mapped."""
    name = source.rsplit("/", 1)[-1]
    return sum(m.rss for m in psutil.Process().memory_maps() if m.path.endswith(name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

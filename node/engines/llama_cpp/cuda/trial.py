"""``python -m node.engines.llama_cpp.cuda.trial [MODEL.gguf]``: whether a build works, in a process
of its own, since a library that does not fit its driver may end it. Prints one JSON object.

The model answers once on the GPU, and then on the CPU alone: both must say the same first words.
"""

from __future__ import annotations

import json
import sys
from typing import Any

_PROMPT = "The capital of France is"
_TOKENS = 8


def tried(model: str | None) -> dict[str, Any]:
    """``offload``: whether it computes on GPUs at all; ``devices``: which; ``gpu``, ``cpu``: what
    the model said."""
    import llama_cpp

    said: dict[str, Any] = {
        "version": llama_cpp.__version__,
        "offload": bool(llama_cpp.llama_supports_gpu_offload()),
        "devices": _devices(llama_cpp.llama_print_system_info()),
    }
    if model is not None:
        said["cpu"] = _answer(model, 0)
        if said["offload"]:
            said["gpu"] = _answer(model, -1)
    return said


def _devices(system: Any) -> str:
    return bytes(system).decode("utf-8", "replace").split("|")[0].strip()


def _answer(model: str, layers: int) -> str:
    from llama_cpp import Llama

    llama = Llama(model, n_gpu_layers=layers, n_ctx=256, n_threads=4, seed=1, verbose=False)
    made: Any = llama(_PROMPT, max_tokens=_TOKENS, temperature=0.0)
    return str(made["choices"][0]["text"])


def main(arguments: list[str]) -> int:
    json.dump(tried(arguments[0] if arguments else None), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""llama.cpp's own server, run in process by ``xllamacpp``, as a child of ``benchmarks.engine``.

It runs under another Python (``--peer-python``) that has only ``xllamacpp``, and so imports
nothing of this repository. It prints ``ready``, then answers each line
``{"prompts": [[ids]], "tokens": n}`` on standard input with ``{"seconds": s, "tokens": n}``: all
prompts at once, greedy, to the end. ``cpu`` as the last argument: CPU seconds of this process.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def main(arguments: list[str]) -> None:
    xllamacpp: Any = importlib.import_module("xllamacpp")
    path, slots, context, threads, batch = arguments[0], *map(int, arguments[1:5])
    clock = time.process_time if arguments[5:] == ["cpu"] else time.perf_counter
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_parallel = slots
    parameters.n_ctx = slots * context
    parameters.n_batch = parameters.n_ubatch = batch
    parameters.kv_unified = False
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.port = 0
    parameters.cache_ram_mib = 0
    parameters.verbosity = -1
    server: Any = xllamacpp.Server(parameters)

    def ask(prompt: list[int], count: int) -> int:
        answer = server.handle_completions(
            {
                "prompt": prompt,
                "n_predict": count,
                "temperature": 0.0,
                "samplers": ["temperature"],
                "ignore_eos": True,
                "cache_prompt": False,
                "stream": False,
            }
        )
        answer = json.loads(answer) if isinstance(answer, str | bytes) else answer
        found = answer.get("tokens_predicted") or answer["usage"]["completion_tokens"]
        return int(found)

    with ThreadPoolExecutor(slots) as pool:
        print("ready", flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            started = clock()
            prompts = order["prompts"]
            counts = list(pool.map(ask, prompts, [order["tokens"]] * len(prompts)))
            seconds = clock() - started
            print(json.dumps({"seconds": seconds, "tokens": sum(counts)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

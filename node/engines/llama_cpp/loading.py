"""Opens a GGUF in llama.cpp, with every reason it may fail put into one line."""

from __future__ import annotations

import ctypes
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp as llama

from mesh.errors import ConfigError, ModelFileError
from node.engines.base import ModelSpec
from node.engines.llama_cpp.memory.need import DEFAULT_BATCH
from node.engines.options import check_sizes, check_trained
from node.models.catalogue import GgufFacts, inspect

# Below this, a second thread costs more in waiting for the first than it brings.
ONE_THREAD_BYTES = 32 * 1024 * 1024
_OPTIONS = ("batch", "device", "embedding", "lora", "pooling", "speculative")
_LEVEL_ERROR = 4  # ggml.h, enum ggml_log_level; 5 continues the line before

# llama.cpp writes to standard error, many lines a load. Errors are kept to say why a load failed.
_errors: deque[str] = deque(maxlen=20)


@llama.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, _data: Any) -> None:
    if level == _LEVEL_ERROR:
        _errors.append(text.decode("utf-8", "replace").strip())


def last_error() -> str:
    """What llama.cpp logged last as an error, its own prefixes cut off, "" when nothing."""
    if not _errors:
        return ""
    # The innermost reason is logged first; "failed to load model" and the like follow it.
    told = next((line for line in _errors if "error loading model" in line), _errors[0])
    return re.sub(r"^(\w+: )?(error loading model[\w ]*: )*", "", told)


def check(spec: ModelSpec) -> GgufFacts:
    """Everything that can be known to be wrong before llama.cpp, which may abort the process, sees
    the file. Raises ``ModelFileError``, or ``ConfigError`` for an unknown option."""
    for option in spec.options:
        if option not in _OPTIONS:
            raise ConfigError(
                f"model '{spec.id}': engine llama_cpp has no option '{option}'; known: "
                f"{', '.join(_OPTIONS)}"
            )
    most = llama.llama_max_parallel_sequences()
    if not 1 <= spec.slots <= most:
        raise ModelFileError(f"model '{spec.id}': slots must be 1 to {most}, not {spec.slots}")
    facts = inspect(Path(spec.source))
    if not facts.tokenizer_hash:
        raise ModelFileError(f"{spec.source} has no tokenizer in it; use a complete GGUF model")
    if not facts.layers or not facts.embedding_length:
        raise ModelFileError(
            f"{spec.source} does not say how many layers or how wide it is; use a GGUF language "
            "model"
        )
    check_sizes(spec)
    check_trained(spec, facts.context_length)
    return facts


def open_model(spec: ModelSpec, on_progress: Callable[[float], None]) -> Any:
    """A live ``llama_model``; ``on_progress`` hears 0..1. Raises ``ModelFileError``."""
    llama.llama_log_set(_on_log, ctypes.c_void_p(0))
    llama.llama_backend_init()
    _errors.clear()

    def report(fraction: float, _data: Any) -> bool:
        on_progress(fraction)
        return True  # False would stop the load

    parameters = llama.llama_model_default_params()
    parameters.n_gpu_layers = spec.gpu_layers
    callback = llama.llama_progress_callback(report)
    parameters.progress_callback = callback
    model = llama.llama_model_load_from_file(spec.source.encode(), parameters)
    if not model:
        raise ModelFileError(f"llama.cpp cannot load {spec.source}: {last_error() or 'no reason'}")
    if not llama.llama_model_has_decoder(model):
        llama.llama_model_free(model)
        raise ModelFileError(f"{spec.source} does not generate text; use a language model")
    return model


def check_goes_back(spec: ModelSpec, model: Any) -> None:
    """Raises ``ConfigError`` for a model whose state cannot forget a wrong guess."""
    if llama.llama_model_is_recurrent(model) or llama.llama_model_is_hybrid(model):
        raise ConfigError(
            f"model '{spec.id}' is recurrent, so that it cannot take back a wrong guess; leave out "
            "option 'speculative'"
        )


def open_context(spec: ModelSpec, model: Any, file_bytes: int, *, drafts: int = 0) -> Any:
    """A live ``llama_context`` with one sequence a slot. ``drafts``: guessed tokens a slot and
    batch. Raises ``ModelFileError``.

    The KV cache is split, not unified: each slot owns ``context_length`` cells. No slot can take
    another's room, and attention of one looks at its own cells only; over a unified cache every
    slot pays for the length of all others (8 slots of 2,000 tokens: 1.7 times the CPU a token).
    """
    batch = max(batch_size(spec), spec.slots)
    parameters = llama.llama_context_default_params()
    parameters.n_ctx = spec.slots * spec.context_length
    parameters.n_seq_max = spec.slots
    parameters.kv_unified = False
    parameters.n_batch = batch
    parameters.n_ubatch = min(batch, DEFAULT_BATCH)
    parameters.n_outputs_max = min(batch, spec.slots * (1 + drafts))
    # A window-sized cache forgets what a reused prefix would need.
    parameters.swa_full = True
    return new_context(model, parameters, spec, file_bytes)


def new_context(model: Any, parameters: Any, spec: ModelSpec, file_bytes: int) -> Any:
    """A live ``llama_context`` of these parameters, on as many threads as suit the model. Raises
    ``ModelFileError``."""
    _errors.clear()
    threads = 1 if file_bytes < ONE_THREAD_BYTES else max(1, spec.threads)
    parameters.n_threads = parameters.n_threads_batch = threads
    context = llama.llama_init_from_model(model, parameters)
    if not context:
        raise ModelFileError(
            f"llama.cpp cannot make a context of {spec.slots} x {spec.context_length} tokens for "
            f"{spec.source}: {last_error() or 'no reason given'}; use fewer slots or a shorter one"
        )
    return context


def batch_size(spec: ModelSpec) -> int:
    """Raises ``ConfigError``."""
    batch = spec.options.get("batch", DEFAULT_BATCH)
    if not isinstance(batch, int) or isinstance(batch, bool) or not 1 <= batch <= 65_536:
        raise ConfigError(
            f"model '{spec.id}': option 'batch' must be 1 to 65536 tokens, not {batch!r}"
        )
    return max(batch, spec.slots)


def device(spec: ModelSpec) -> str:
    """Where the weights are: ``cpu``, else the option ``device`` (a GPU's UUID) or ``gpu``."""
    if spec.gpu_layers == 0 or not llama.llama_supports_gpu_offload():
        return "cpu"
    return str(spec.options.get("device", "gpu"))

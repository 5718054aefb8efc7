"""What engine ``llama_cpp`` says of itself. Imports nothing of llama.cpp."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from mesh.errors import ConfigError, ModelFileError
from mesh.files import read_whole
from node.engines.base import Engine, ModelSpec
from node.engines.estimate import Estimate
from node.engines.llama_cpp.cuda import kept
from node.engines.llama_cpp.cuda.found import backends, installed
from node.engines.llama_cpp.memory.need import DEFAULT_BATCH, need
from node.engines.llama_cpp.memory.repacked import spare_bytes
from node.engines.llama_cpp.speculation import speculation_of
from node.engines.traits import EngineTraits, Source, Target, to_embed
from node.models.catalogue import GgufFacts, inspect
from node.models.gguf_header import MAGIC

DEFAULT_KV = "f16"


class LlamaCppTraits(EngineTraits[GgufFacts]):
    name = "llama_cpp"
    distribution = "llama-cpp-python"
    sources = frozenset({Source.FILE})
    splits_layers = True
    embeds = True
    trial = "node.engines.llama_cpp.trial"
    no_choice: ClassVar = {"dtype": "a GGUF file says itself what its numbers are; leave --dtype"}

    def make(self) -> Engine:
        from node.engines.llama_cpp.engine import LlamaCppEngine

        return LlamaCppEngine()

    def check(self, path: Path) -> None:
        try:
            magic = read_whole(path, len(MAGIC))[: len(MAGIC)]
        except OSError as error:
            raise ModelFileError(f"cannot read model file {path}: {error.strerror}") from None
        if magic != MAGIC:
            raise ModelFileError(f"{path} is not a GGUF file; give a model in GGUF format")

    def inspect(self, path: Path) -> GgufFacts:
        return inspect(path)

    def estimate(self, spec: ModelSpec, files: GgufFacts, target: Target) -> Estimate:
        """Options that mean nothing count as not there: the engine says what is wrong with them.
        Raises ``ConfigError`` for bad speculation."""
        if not files.shape.layers or not files.embedding_length:
            raise ConfigError(
                f"'{files.name}' does not say how many layers or how wide it is; use a GGUF "
                "language model"
            )
        batch, kind = spec.options.get("batch"), spec.options.get("kv_type")
        guesses = speculation_of(spec)
        return need(
            files,
            context_length=spec.context_length,
            slots=spec.slots,
            gpu_layers=spec.gpu_layers,
            device=target.device,
            kv_type=kind if isinstance(kind, str) else DEFAULT_KV,
            batch=batch if isinstance(batch, int) and batch > 0 else DEFAULT_BATCH,
            outputs_per_slot=1 + (guesses.draft if guesses is not None else 0),
            adapters_bytes=_adapters_bytes(spec.options.get("lora")),
            compute_capability=target.compute_capability,
            embeds=to_embed(spec.options, files),
        )

    def runner_environment(self, spec: ModelSpec) -> Mapping[str, str]:
        # A crash that is told by a debugger takes seconds, for which everybody's answers wait.
        found = {"GGML_NO_BACKTRACE": "1"}
        own, _ = kept.in_use()
        if own is not None:
            found[kept.VARIABLE] = str(own)
        return found

    def gpu_gap(self) -> str:
        own, why_not = kept.in_use()
        package = installed() if own is None else own / "llama_cpp"
        if package is None or backends(package):
            return ""
        remedy = why_not or "`mesh engine build` makes one for them"
        return f"GPU present, engine is CPU-only: this llama.cpp was built without GPUs; {remedy}"

    def spare_bytes(self, whole: int, mapped: int, files: GgufFacts, estimate: Estimate) -> int:
        return spare_bytes(whole, mapped, files.shape.quantised_bytes, estimate)


def _adapters_bytes(option: object) -> int:
    """Of the LoRA files, which are in memory whole."""
    total = 0
    for entry in option if isinstance(option, list | tuple) else ():
        path = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(path, str):
            with suppress(OSError, RuntimeError, ValueError):
                total += Path(path).expanduser().stat().st_size
    return total

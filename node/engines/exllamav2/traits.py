"""What engine ``exllamav2`` says of itself. Imports nothing of the library, nor of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from node.engines.base import Engine, ModelSpec
from node.engines.exllamav2.loading import read_folder
from node.engines.exllamav2.options import PAGE, read_options
from node.engines.hugging_face.memory import BYTES, Footprint
from node.engines.hugging_face.traits import FolderTraits
from node.engines.traits import Target
from node.models.safetensors_folder import FolderFacts

# exllamav2/cache.py: numbers in blocks of 32 that share a 16-bit scale.
CACHE_BYTES = {"f16": 2.0, "q8": 1.0625, "q6": 0.8125, "q4": 0.5625}


class ExLlamaV2Traits(FolderTraits):
    name = "exllamav2"
    distribution = "exllamav2"
    needs_gpu = True
    no_choice: ClassVar = {
        "dtype": "engine exllamav2 computes in float16; leave --dtype",
        "cpu": "engine exllamav2 runs on a CUDA GPU; say --vram instead of --cpu",
    }

    def make(self) -> Engine:
        from node.engines.exllamav2.engine import ExLlamaV2Engine

        return ExLlamaV2Engine()

    def check(self, path: Path) -> None:
        super().check(path)
        read_folder(path)

    def load(self, spec: ModelSpec, files: FolderFacts, target: Target) -> Footprint:
        options = read_options(spec)
        return exllamav2_load(files, options.kv_type, options.batch)


def exllamav2_load(files: FolderFacts, kv_type: str, batch: int) -> Footprint:
    """Weights as they are stored; ``kv_type``: a key of ``CACHE_BYTES``."""
    return Footprint(
        weights_bytes=files.file_bytes,
        kv_type=kv_type,
        kv_number_bytes=CACHE_BYTES[kv_type],
        number_bytes=BYTES["float16"],
        batch=batch,
        padding=PAGE,
    )

"""What the engines that load Hugging Face folders into PyTorch have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mesh.errors import ConfigError
from node.engines.base import ModelSpec
from node.engines.estimate import Estimate
from node.engines.hugging_face.folder import own_context
from node.engines.hugging_face.memory import Footprint, need_folder
from node.engines.traits import EngineTraits, Source, Target
from node.models.safetensors_folder import FolderFacts, inspect_folder


class FolderTraits(EngineTraits[FolderFacts]):
    sources = frozenset({Source.FOLDER})

    def load(self, spec: ModelSpec, files: FolderFacts, target: Target) -> Footprint:
        """What the folder comes to with these options. Raises what the engine would."""
        raise NotImplementedError

    def check(self, path: Path) -> None:
        if not (path / "config.json").is_file():
            raise ConfigError(
                f"{path} is a folder without config.json; give a GGUF file, or a model's whole "
                "folder"
            )

    def inspect(self, path: Path) -> FolderFacts:
        return inspect_folder(path)

    def own_context(self, path: Path, files: FolderFacts | None) -> int:
        return own_context(path)

    def estimate(self, spec: ModelSpec, files: FolderFacts, target: Target) -> Estimate:
        return need_folder(
            files,
            self.load(spec, files, target),
            context_length=spec.context_length,
            slots=spec.slots,
            device=target.device,
            compute_capability=target.compute_capability,
        )

    def runner_environment(self, spec: ModelSpec) -> Mapping[str, str]:
        threads = str(spec.threads)
        return {
            # Segments that grow, instead of blocks of fixed sizes that leave gaps no tensor fits
            # into (PyTorch, "CUDA semantics", Memory management). Contexts of ever different
            # lengths are just what fragments the other way.
            "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
        }

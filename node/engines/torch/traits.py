"""What engine ``torch`` says of itself. Imports nothing of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from mesh.errors import ConfigError
from node.engines.base import Engine, ModelSpec
from node.engines.estimate import CPU
from node.engines.hugging_face.folder import read_json
from node.engines.hugging_face.memory import BYTES, Footprint
from node.engines.hugging_face.traits import FolderTraits
from node.engines.torch.options import TorchDevice, number_format, read_options
from node.engines.traits import Target
from node.models.safetensors_folder import FolderFacts

_NEWEST = (99, 0)


class TorchTraits(FolderTraits):
    name = "torch"
    distribution = "torch"
    no_choice: ClassVar = {
        "kv_type": "engine torch keeps its cache in the model's numbers; say --dtype",
        "gpu_layers": "engine torch has all layers on one device; leave --gpu-layers",
    }

    def make(self) -> Engine:
        from node.engines.torch.engine import TorchEngine

        return TorchEngine()

    def check(self, path: Path) -> None:
        super().check(path)
        if read_json(path / "config.json").get("quantization_config") is not None:
            raise ConfigError(
                f"{path} is quantised, and engine torch loads what is not; leave --engine, or "
                "fetch the model as it was published"
            )

    def load(self, spec: ModelSpec, files: FolderFacts, target: Target) -> Footprint:
        options = read_options(spec)
        at = TorchDevice()
        if target.device != CPU:
            at = TorchDevice(label=target.device, capability=_capability(target.compute_capability))
        return torch_load(files, number_format(spec, options, at, files.dtype), options.batch)


def torch_load(files: FolderFacts, dtype: str, batch: int) -> Footprint:
    """Every floating-point tensor in ``dtype``, a key of ``BYTES``."""
    size = BYTES[dtype]
    return Footprint(
        weights_bytes=round(files.numbers * size) + files.other_bytes,
        kv_type=dtype,
        kv_number_bytes=size,
        number_bytes=size,
        batch=batch,
    )


def _capability(said: str | None) -> tuple[int, int]:
    """Of a GPU that does not say, the newest: what the file is stored in is then kept."""
    major, _, minor = (said or "").partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else _NEWEST

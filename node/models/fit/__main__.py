"""``python -m node.fit JSON``: what ``mesh models fit`` becomes; prints the sums of one load."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from mesh.errors import ConfigError, MeshError
from node.engines.base import ModelSpec
from node.engines.exllamav2.loading import quantisation, read_folder
from node.engines.hugging_face.folder import own_context, read_json
from node.hardware.host import Host
from node.models import catalogue
from node.models.fit.estimate import CPU
from node.models.fit.folder import fit_folder
from node.models.fit.folder_engine import load_of
from node.models.fit.page import Described, data, table
from node.models.fit.plan import Fit, Outcome, Wants, fit
from node.models.prepared import DEFAULT_CONTEXT
from node.models.safetensors_folder import inspect_folder

GPU = "the GPU"
DOES_NOT_FIT = 3  # exit code


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``vram_bytes`` None: for the CPU; ``ram_bytes`` None: what this box has available. ``engine``
    and ``kv_type`` None: as the model is stored, and the engine's usual one. ``dtype``: of engine
    ``torch``."""

    file: str
    engine: str | None = None
    vram_bytes: int | None = None
    ram_bytes: int | None = None
    context_length: int | None = None
    slots: int = 4
    gpu_layers: int = -1
    kv_type: str | None = None
    dtype: str | None = None
    compute_capability: str | None = None
    as_json: bool = False

    @property
    def device(self) -> str:
        return CPU if self.vram_bytes is None else GPU


def main(argument: str) -> int:
    """Exit code 0 when it fits as wanted, 3 when not, 2 for a file or settings that are wrong."""
    try:
        query = msgspec.json.decode(argument, type=Query)
    except msgspec.DecodeError as error:
        return _complain(ConfigError(f"python -m node.fit: {error}"))
    try:
        of = _of_folder if Path(query.file).is_dir() else _of_file
        model, found = of(query)
    except MeshError as error:
        return _complain(error)
    page = msgspec.json.format(data(model, found)).decode() if query.as_json else ""
    sys.stdout.write(f"{page or table(model, found)}\n")
    return 0 if found.outcome is Outcome.FITS else DOES_NOT_FIT


def _of_file(query: Query) -> tuple[Described, Fit]:
    """A GGUF file, for engine ``llama_cpp``."""
    path = catalogue.resolve(query.file)
    if query.engine not in (None, "llama_cpp"):
        raise ConfigError(
            f"engine {query.engine} takes a folder of *.safetensors, and {path} is a file"
        )
    if query.dtype is not None:
        raise ConfigError("a GGUF file says itself what its numbers are; leave --dtype")
    facts = catalogue.inspect(path)
    if not facts.shape.layers or not facts.embedding_length:
        raise ConfigError(
            f"{path} does not say how many layers or how wide it is; give a GGUF language model"
        )
    free, ram = _free(query)
    found = fit(
        facts,
        free,
        Wants(
            context_length=query.context_length
            or min(facts.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
            slots=query.slots,
            gpu_layers=query.gpu_layers,
            kv_type=query.kv_type or "f16",
        ),
        device=query.device,
        compute_capability=query.compute_capability,
        ram_free_bytes=ram,
    )
    model = Described(
        file=str(path),
        engine="llama_cpp",
        name=facts.name,
        architecture=facts.architecture,
        numbers=facts.quantisation,
        parameters=facts.parameters,
        context_length=facts.context_length,
    )
    return model, found


def _of_folder(query: Query) -> tuple[Described, Fit]:
    """Safetensors, for engine ``torch`` or ``exllamav2``."""
    path = Path(query.file)
    engine, numbers = _folder_engine(query, path)
    facts = inspect_folder(path)
    spec = ModelSpec(
        id=facts.name,
        source=query.file,
        context_length=query.context_length
        or min(own_context(path) or DEFAULT_CONTEXT, DEFAULT_CONTEXT),
        slots=query.slots,
        threads=1,
        gpu_layers=query.gpu_layers,
        options=_options(query, engine),
    )
    load = load_of(
        facts,
        engine,
        spec,
        device=query.device,
        compute_capability=query.compute_capability,
    )
    free, ram = _free(query)
    found = fit_folder(
        facts,
        load,
        free,
        context_length=spec.context_length,
        slots=spec.slots,
        device=query.device,
        compute_capability=query.compute_capability,
        ram_free_bytes=ram,
    )
    model = Described(
        file=str(path),
        engine=engine,
        name=facts.name,
        architecture=facts.architecture,
        numbers=numbers or load.kv_type,
        parameters=0 if numbers else facts.numbers,
        context_length=facts.context_length,
    )
    return model, found


def _folder_engine(query: Query, path: Path) -> tuple[str, str]:
    """And how the folder is quantised, "" where it is not. Raises ``MeshError`` for an engine that
    does not load it."""
    if not (path / "config.json").is_file():
        raise ConfigError(
            f"{path} is a folder without config.json; give a GGUF file, or a model's whole folder"
        )
    method = read_json(path / "config.json").get("quantization_config")
    engine = query.engine or ("exllamav2" if method is not None else "torch")
    if engine == "llama_cpp":
        raise ConfigError(f"engine llama_cpp takes a GGUF file, and {path} is a folder")
    if engine == "exllamav2":
        return engine, quantisation(read_folder(path))
    if method is not None:
        raise ConfigError(
            f"{path} is quantised, and engine torch loads what is not; leave --engine, or fetch "
            "the model as it was published"
        )
    return engine, ""


def _options(query: Query, engine: str) -> dict[str, Any]:
    """As a node's settings would have them. Raises ``ConfigError``."""
    if engine == "torch" and query.kv_type is not None:
        raise ConfigError("engine torch keeps its cache in the model's numbers; say --dtype")
    if engine == "torch" and query.gpu_layers > 0:
        raise ConfigError("engine torch has all layers on one device; leave --gpu-layers")
    if engine == "exllamav2" and query.dtype is not None:
        raise ConfigError("engine exllamav2 computes in float16; leave --dtype")
    if engine == "exllamav2" and query.device == CPU:
        raise ConfigError("engine exllamav2 runs on a CUDA GPU; say --vram instead of --cpu")
    given = {"kv_type": query.kv_type, "dtype": query.dtype}
    return {name: value for name, value in given.items() if value is not None}


def _free(query: Query) -> tuple[int, int | None]:
    """Bytes on the device, and of the box's memory; None: enough."""
    if query.vram_bytes is not None:
        return query.vram_bytes, query.ram_bytes
    ram = Host().memory().available_bytes if query.ram_bytes is None else query.ram_bytes
    return ram, ram


def _complain(error: MeshError) -> int:
    sys.stderr.write(f"mesh: {' '.join(error.message.split())}\n")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "{}"))

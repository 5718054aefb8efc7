"""Model files: where a source leads, and what a GGUF says of itself before anything loads it."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mesh.cleaned import cleaned
from mesh.errors import ModelFileError
from mesh.types import ModelId
from node.models import gguf_parts as parts
from node.models.gguf_header import TENSOR_TYPES, Array, Header, numbers, read_header
from node.models.gguf_shape import Shape, shape_of
from node.models.hub import source as hub_source

log = logging.getLogger(__name__)

# Used where a file brings no template; what most small models of today were tuned on.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_LONGEST_NAME = 120  # characters
_ARCHITECTURE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SPLIT_SUFFIX = re.compile(r"-\d{5}-of-\d{5}$")
# What makes token ids mean the same: ids of one model may be handed to another with equal hash.
_TOKENIZER_KEYS = (
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.token_type",
)
# llama.h, enum llama_ftype: the mixtures, whose name no single tensor type tells.
_FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4",
    39: "NVFP4",
    40: "Q1_0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFacts:
    """What a GGUF's header says. Lengths and counts are 0 where the file does not say.

    ``context_length`` is the one it was trained for, in tokens. ``file_bytes`` is the size of the
    file, or of all its parts together. ``chat_template`` is None where the file has none.
    ``shape``: what decides how much memory it takes. ``pooling``: how its outputs become the vector
    of a text (llama.h, ``llama_pooling_type``; 4 is a reranker), None where the file does not say.
    ``causal``: a token sees only those before it; one that sees all of them cannot generate.
    ``licence``: its name, "" where the file says none.
    """

    name: str
    architecture: str
    parameters: int
    quantisation: str
    context_length: int
    layers: int
    heads: int
    key_value_heads: int
    embedding_length: int
    file_bytes: int
    tokenizer_hash: str
    template_hash: str
    chat_template: str | None
    shape: Shape
    pooling: int | None = None
    causal: bool = True
    licence: str = ""

    @property
    def embeds(self) -> bool:
        return bool(self.pooling) or not self.causal


def model_id(source: str) -> ModelId:
    """The default id of a model: its file's name in lower case, without folder and ending; of a
    repository of the hub, such as its files' names commonly are."""
    if hub_source.is_hub(source):
        source = hub_source.likely_file(source)
    name = _SPLIT_SUFFIX.sub("", re.split(r"[/\\]", source)[-1].removesuffix(".gguf"))
    return ModelId(re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "model")


def resolve(source: str, percent: Callable[[int], None] | None = None) -> Path:
    """The local file that ``source`` names: a path (``~`` allowed) or ``hf:OWNER/REPO[:QUANT]`` or
    ``hf:OWNER/REPO/FILE``.

    A model of the Hugging Face hub that is in its cache is taken from there, and the hub is not
    asked; else it is pulled, with all its parts, and the log and ``percent`` are told how far it
    is. The name is the one that was given, also where it is a link: parts are found by their names.
    Blocks; run it in a thread. Raises ``ModelFileError``: bad form, nothing there, no access, no
    network.
    """
    if hub_source.is_hub(source):
        return _from_hub(source, percent)
    if not source.strip():  # a variable of a shell that is not set
        raise ModelFileError(f"no model is named; give a .gguf file or {hub_source.FORM}")
    try:
        path = Path(source).expanduser().absolute()
        names = parts.ways(path)
        found = path.is_file()
    except (RuntimeError, ValueError) as error:  # unknown ~user, NUL
        raise ModelFileError(f"'{source}' is no usable path: {error}") from None
    except OSError as error:
        raise ModelFileError(f"cannot read model file {path}: {error.strerror}") from None
    if not found:
        what = "is no regular file" if path.exists() else "does not exist"
        if path.is_dir():
            what = "is a folder, not a model file"
        hint = hub_source.as_hub(source)
        instead = f"try {hint}" if hint else f"give a .gguf file or {hub_source.FORM}"
        raise ModelFileError(f"model file {path} {what}; {instead}")
    return parts.with_all_beside(names)


def _from_hub(source: str, percent: Callable[[int], None] | None) -> Path:
    wanted = hub_source.read(source)
    # Imported here: no node that serves local files should pay for it.
    from node.models.hub.cached import find
    from node.models.hub.place import Hub
    from node.models.hub.pull import pull
    from node.models.hub.told import Lines, Share

    hub = Hub.here()
    lines = Lines(log.info)
    tell = lines if percent is None else Share(lines, percent)
    return find(hub, wanted) or pull(hub, wanted, tell).path


def inspect(path: Path) -> GgufFacts:
    """The facts in the header of the GGUF at ``path``; reads no weights.

    Of a model in several files ``path`` is the first one, and all of them are looked at. Raises
    ``ModelFileError`` as ``read_header`` does, for a GGUF that is no language model, and for a
    missing part.
    """
    header = read_header(path)
    architecture = _text(header, "general.architecture")
    if not _ARCHITECTURE.fullmatch(architecture):
        raise ModelFileError(f"{path} names no architecture; it is not a complete GGUF model")
    headers = parts.headers(path, header)
    template = _text(header, "tokenizer.chat_template") or None
    return GgufFacts(
        name=cleaned(_text(header, "general.name"), _LONGEST_NAME)
        or cleaned(path.stem, _LONGEST_NAME),
        architecture=architecture,
        parameters=sum(t.elements for one in headers for t in one.tensors),
        quantisation=_quantisation(headers),
        context_length=_count(header, f"{architecture}.context_length"),
        layers=_count(header, f"{architecture}.block_count"),
        heads=_count(header, f"{architecture}.attention.head_count"),
        key_value_heads=_count(header, f"{architecture}.attention.head_count_kv")
        or _count(header, f"{architecture}.attention.head_count"),
        embedding_length=_count(header, f"{architecture}.embedding_length"),
        file_bytes=sum(one.file_bytes for one in headers),
        tokenizer_hash=_tokenizer_hash(header),
        template_hash=hashlib.sha256((template or CHATML).encode()).hexdigest(),
        chat_template=template,
        shape=shape_of(header, architecture, headers),
        pooling=_count(header, f"{architecture}.pooling_type")
        if f"{architecture}.pooling_type" in header.values
        else None,
        causal=header.values.get(f"{architecture}.attention.causal") is not False,
        licence=cleaned(
            _text(header, "general.license.name") or _text(header, "general.license"),
            _LONGEST_NAME,
        ),
    )


def _text(header: Header, key: str) -> str:
    value = header.values.get(key)
    return value if isinstance(value, str) else ""


def _count(header: Header, key: str) -> int:
    """A whole number; of a number per layer (some models vary their heads) the largest."""
    match header.values.get(key):
        case bool():
            return 0
        case int(value):
            return value
        case Array() as array:
            return max(numbers(array), default=0)
    return 0


def _quantisation(headers: tuple[Header, ...]) -> str:
    file_type = headers[0].values.get("general.file_type")
    if isinstance(file_type, int) and file_type in _FILE_TYPES:
        return _FILE_TYPES[file_type]
    sizes: Counter[int] = Counter()
    for header in headers:
        for tensor in header.tensors:
            sizes[tensor.type] += tensor.elements
    if not sizes:
        return ""
    common = sizes.most_common(1)[0][0]
    return TENSOR_TYPES[common][0] if common in TENSOR_TYPES else f"type {common}"


def _tokenizer_hash(header: Header) -> str:
    if not isinstance(header.values.get("tokenizer.ggml.tokens"), Array):
        return ""
    digest = hashlib.sha256()
    for key in _TOKENIZER_KEYS:
        match header.values.get(key):
            case Array(kind=kind, count=count, raw=raw):
                digest.update(f"{key}\0{kind}\0{count}\0{len(raw)}\0".encode())
                digest.update(raw)
            case value:
                # Each part with its length, so that no two tokenizers run together alike.
                text = str(value).encode()
                digest.update(f"{key}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()

"""Model files: where a source leads, and what a GGUF says of itself before anything loads it."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import ModelFileError
from mesh.types import ModelId
from node.models.gguf_header import TENSOR_TYPES, Array, Header, numbers, read_header
from node.models.gguf_shape import Shape, shape_of

# Used where a file brings no template; what most small models of today were tuned on.
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_HUB_FORM = "hf:OWNER/REPO/FILE"
_SPLIT_SUFFIX = re.compile(r"-\d{5}-of-\d{5}$")
_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")  # llama.cpp, llama_split_path
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

    @property
    def embeds(self) -> bool:
        return bool(self.pooling) or not self.causal


def model_id(source: str) -> ModelId:
    """The default id of a model: its file's name in lower case, without folder and ending."""
    name = _SPLIT_SUFFIX.sub("", re.split(r"[/\\]", source)[-1].removesuffix(".gguf"))
    return ModelId(re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "model")


def resolve(source: str) -> Path:
    """The local file that ``source`` names: a path (``~`` allowed) or ``hf:OWNER/REPO/FILE``.

    A file of the Hugging Face hub is downloaded once, with a progress bar on standard error, and
    then found in its cache, also without a network. Blocks; run it in a thread.
    Raises ``ModelFileError``: bad form, nothing there, no access, no network.
    """
    if source.startswith("hf:"):
        return _from_hub(source)
    try:
        path = Path(source).expanduser().resolve()
    except (RuntimeError, ValueError, OSError) as error:  # unknown ~user, NUL, a loop of links
        raise ModelFileError(f"'{source}' is no usable path: {error}") from None
    try:
        found = path.is_file()
    except OSError as error:
        raise ModelFileError(f"cannot read model file {path}: {error.strerror}") from None
    if not found:
        what = "is a folder, not a model file" if path.is_dir() else "does not exist"
        raise ModelFileError(f"model file {path} {what}; give a .gguf file or {_HUB_FORM}")
    return path


def _from_hub(source: str) -> Path:
    parts = source.removeprefix("hf:").split("/")
    if len(parts) < 3 or not all(parts) or ".." in parts:
        raise ModelFileError(f"'{source}' is not of the form {_HUB_FORM}")
    repo, file = "/".join(parts[:2]), "/".join(parts[2:])
    # Imported here: no node that serves local files should pay for it.
    from huggingface_hub import errors, hf_hub_download

    # The HTTP library under the hub's client changes with its major version; its errors' base is
    # always the first base of the client's own.
    http_error: type[Exception] = errors.HfHubHTTPError.__bases__[0]

    try:
        return Path(hf_hub_download(repo, file))
    except errors.HFValidationError:
        raise ModelFileError(f"'{source}' is not of the form {_HUB_FORM}") from None
    except errors.GatedRepoError:
        raise ModelFileError(
            f"{repo} is gated: accept its terms on its page, then log in with `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ModelFileError(
            f"no repository {repo} on the hub (or a private one: log in with `hf auth login`)"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        # Ahead of EntryNotFoundError, its base: not in the cache and the hub cannot be asked.
        raise ModelFileError(
            f"cannot download {source}: the hub cannot be reached and the file is not in the "
            "cache; check the network, or give a local path"
        ) from None
    except errors.EntryNotFoundError:
        raise ModelFileError(f"repository {repo} has no file '{file}'; check its name") from None
    except (http_error, OSError) as error:
        reason = str(error).strip().splitlines()
        raise ModelFileError(
            f"cannot download {source}: {reason[0] if reason else type(error).__name__}"
        ) from None


def inspect(path: Path) -> GgufFacts:
    """The facts in the header of the GGUF at ``path``; reads no weights.

    Of a model in several files ``path`` is the first one, and all of them are looked at. Raises
    ``ModelFileError`` as ``read_header`` does, for a GGUF that is no language model, and for a
    missing part.
    """
    header = read_header(path)
    architecture = _text(header, "general.architecture")
    if not architecture:
        raise ModelFileError(f"{path} names no architecture; it is not a complete GGUF model")
    headers = (header, *map(read_header, _further_parts(path, header)))
    template = _text(header, "tokenizer.chat_template") or None
    return GgufFacts(
        name=_text(header, "general.name") or path.stem,
        architecture=architecture,
        parameters=sum(t.elements for part in headers for t in part.tensors),
        quantisation=_quantisation(headers),
        context_length=_count(header, f"{architecture}.context_length"),
        layers=_count(header, f"{architecture}.block_count"),
        heads=_count(header, f"{architecture}.attention.head_count"),
        key_value_heads=_count(header, f"{architecture}.attention.head_count_kv")
        or _count(header, f"{architecture}.attention.head_count"),
        embedding_length=_count(header, f"{architecture}.embedding_length"),
        file_bytes=sum(part.file_bytes for part in headers),
        tokenizer_hash=_tokenizer_hash(header),
        template_hash=hashlib.sha256((template or CHATML).encode()).hexdigest(),
        chat_template=template,
        shape=shape_of(header, architecture, headers),
        pooling=_count(header, f"{architecture}.pooling_type")
        if f"{architecture}.pooling_type" in header.values
        else None,
        causal=header.values.get(f"{architecture}.attention.causal") is not False,
    )


def _further_parts(path: Path, header: Header) -> list[Path]:
    """The files that belong to the first part at ``path``, () of a whole model. llama.cpp finds
    them by their names (llama-model-loader.cpp, ``split.count``)."""
    count = _count(header, "split.count")
    if count <= 1:
        return []
    match = _PART.fullmatch(path.name)
    if match is None or int(match[3]) != count:
        raise ModelFileError(
            f"{path} is a part of a model in {count} files and its name does not say so; rename "
            f"the files to NAME-00001-of-{count:05d}.gguf and so on, or join them with "
            "`llama-gguf-split --merge`"
        )
    if int(match[2]) != 1:
        first = path.with_name(f"{match[1]}-00001-of-{count:05d}.gguf")
        raise ModelFileError(
            f"{path} is part {int(match[2])} of {count} of a model; give the first, {first}"
        )
    parts = [path.with_name(f"{match[1]}-{n:05d}-of-{count:05d}.gguf") for n in range(2, count + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise ModelFileError(
            f"the model {path} is in {count} files and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not beside it; copy or download all parts"
        )
    return parts


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

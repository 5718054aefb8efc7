"""What a GGUF's header says about memory: bytes of each part, and what a token costs in each layer.

Read from the tensors rather than from a table of architectures where the tensors tell it: a layer
that has keys has a KV cache, one with ``ssm_*`` a recurrent state, a router has experts. What only
the loader's code knows is in ``KNOWN`` and in a note to every other architecture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mesh.errors import ModelFileError
from node.models.gguf_header import Array, Header, Tensor, Value, numbers

# Architectures that llama.cpp builds from attention (with an optional window, MLA or recurrent
# layers) as computed here; of others the sums are those of a plain transformer, and say so.
_NAMES = """
    llama llama4 mistral3 deci falcon grok gptneox mpt baichuan starcoder starcoder2 refact bloom
    stablelm qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe qwen3next qwen35
    qwen35moe phi2 phi3 phimoe plamo gpt2 orion internlm2 minicpm minicpm3 gemma gemma2 gemma3
    mamba mamba2 jamba falcon-h1 command-r cohere2 dbrx olmo olmo2 olmoe openelm
    arctic deepseek deepseek2 chatglm glm4 glm4moe bitnet jais nemotron nemotron_h exaone exaone4
    rwkv6 rwkv6qwen2 rwkv7 arwkv7 granite granitemoe granitehybrid ernie4_5 ernie4_5-moe
    hunyuan-moe hunyuan-dense smollm3 gpt-oss lfm2 lfm2moe apertus seed_oss
"""
KNOWN = frozenset(_NAMES.split())

MAX_LAYERS = 512  # llama.cpp's own limit (llama-hparams.h, LLAMA_MAX_LAYERS)
MAX_EXPERTS = 1024
_LAYER = re.compile(r"blk\.(\d+)\.(.+)")
# llama-arch.cpp, LLM_TENSOR_INFOS: tensors of LLM_TENSOR_LAYER_INPUT.
_INPUT = ("token_embd", "token_embd_norm", "token_types", "position_embd", "per_layer_token_embd")
_KEYS = ("attn_k.", "attn_k_b.", "attn_kv_a_mqa.", "attn_kv_b.")
# Windows and patterns that stand in the loader's code only (llama-model.cpp, load_hparams).
_WINDOWS = {"gemma2": 4096}
_PERIODS = {"gemma2": 2, "gpt-oss": 2, "gemma3": 6, "cohere2": 4, "llama4": 4}
_FLOATS = (0, 1, 30)  # F32, F16, BF16
_RECURRENT = ("ssm_", "time_mix_", "shortconv.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """One block. ``weights_bytes``: its tensors; ``expert_bytes`` of them are of experts.

    ``key_width``, ``value_width``: numbers stored per token (``n_embd_k_gqa``, ``n_embd_v_gqa``), 0
    where the layer has no KV cache of its own. ``window``: tokens it looks back, 0 for all.
    ``state_width``: numbers of f32 a sequence costs, however long it is (recurrent layers).
    ``heads``, ``feed_forward``: query heads and numbers a token in the inner layer (those of all
    experts that a token uses), 0 where it has none. ``experts``: how many there are to choose from.
    """

    weights_bytes: int
    expert_bytes: int = 0
    key_width: int = 0
    value_width: int = 0
    window: int = 0
    state_width: int = 0
    heads: int = 0
    feed_forward: int = 0
    experts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """All parts of a model. Bytes as they lie in the file.

    ``input_bytes``: token embeddings and their like. ``output_bytes``: the output matrix and norm;
    of a ``tied`` model only the norm, since the output is the token embeddings used again, and
    ``tied_bytes`` are what a second copy of them costs on a GPU. ``head_width``: numbers a query
    head. ``quantised_bytes``: of the matrices that are multiplied by, one sum for each type that
    is not a plain float. ``notes``: what is doubtful in these figures.
    """

    layers: tuple[LayerShape, ...]
    input_bytes: int
    output_bytes: int
    tied_bytes: int
    vocabulary: int
    embedding_length: int
    head_width: int
    experts_used: int = 0
    quantised_bytes: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def weights_bytes(self) -> int:
        return (
            self.input_bytes + self.output_bytes + sum(each.weights_bytes for each in self.layers)
        )


def shape_of(header: Header, architecture: str, parts: tuple[Header, ...] = ()) -> Shape:
    """The shape of the model whose first file has ``header``; ``parts``: the headers of all its
    files when it is split, the first included. Raises ``ModelFileError`` for one of more layers
    than any loader takes."""
    reader = _Reader(header.values, architecture)
    return reader.shape(tuple(t for part in (parts or (header,)) for t in part.tensors))


class _Reader:
    def __init__(self, values: Mapping[str, Value | Array], architecture: str) -> None:
        self._values = values
        self._architecture = architecture
        self._lists: dict[str, tuple[int, ...]] = {}
        self._notes: list[str] = []

    def shape(self, tensors: tuple[Tensor, ...]) -> Shape:
        blocks: dict[int, list[Tensor]] = {}
        rest: list[Tensor] = []
        for tensor in tensors:
            match = _LAYER.fullmatch(tensor.name)
            if match is None:
                rest.append(tensor)
            else:
                blocks.setdefault(int(match[1]), []).append(tensor)
        count = self._number("block_count") or (max(blocks, default=-1) + 1)
        if count > MAX_LAYERS:
            raise ModelFileError(
                f"the model announces {count} layers, more than the {MAX_LAYERS} that can be "
                "loaded; the file is damaged"
            )
        nextn = self._number("nextn_predict_layers")
        if self._architecture not in KNOWN:
            self._notes.append(
                f"unknown architecture '{self._architecture}': estimated as a plain transformer"
            )
        if any(t.size is None for t in tensors):
            self._notes.append("some tensors have a type that is not known here: taken as 16 bits")
        if nextn:
            self._notes.append(
                f"{nextn} layer(s) that predict further tokens are counted like the others"
            )
        layers = tuple(self._layer(at, count, blocks.get(at, [])) for at in range(count))
        if any(each.state_width or (each.key_width and not each.value_width) for each in layers):
            self._notes.append(
                "recurrent or MLA layers: the compute buffer is that of plain attention, a guess"
            )
        embedding = next((t for t in rest if t.name == "token_embd.weight"), None)
        has_output = any(t.name == "output.weight" for t in rest)
        return Shape(
            layers=layers,
            input_bytes=sum(_size(t) for t in rest if _stem(t.name) in _INPUT),
            output_bytes=sum(_size(t) for t in rest if _stem(t.name) not in _INPUT),
            tied_bytes=_size(embedding) if embedding is not None and not has_output else 0,
            vocabulary=embedding.shape[-1] if embedding is not None else 0,
            embedding_length=self._number("embedding_length"),
            head_width=self._head_width(),
            experts_used=min(self._number("expert_used_count"), MAX_EXPERTS),
            quantised_bytes=_by_type(tensors),
            notes=tuple(self._notes),
        )

    def _layer(self, at: int, count: int, tensors: list[Tensor]) -> LayerShape:
        names = [t.name.split(".", 2)[2] for t in tensors]
        recurrent = any(name.startswith(_RECURRENT) for name in names)
        # A fused attn_qkv is attention too, unless the layer is one of linear attention.
        attends = any(name.startswith(_KEYS) for name in names) or (
            not recurrent and any(name.startswith("attn_qkv.") for name in names)
        )
        keys, values = self._cache_widths(at, count) if attends else (0, 0)
        return LayerShape(
            weights_bytes=sum(map(_size, tensors)),
            expert_bytes=sum(_size(t) for t in tensors if "_exps" in t.name),
            key_width=keys,
            value_width=values,
            window=self._window(at),
            state_width=self._state_width() if recurrent else 0,
            heads=self._per_layer("attention.head_count", at) if attends else 0,
            feed_forward=self._feed_forward(at, names),
            experts=self._number("expert_count") if _routed(names) else 0,
        )

    def _cache_widths(self, at: int, count: int) -> tuple[int, int]:
        """Numbers per token of the K and V cache: ``llama_hparams::n_embd_k_gqa``, ``n_embd_v_gqa``
        (llama-hparams.cpp), and for MLA ``llama_kv_cache`` (llama-kv-cache.cpp), which keeps the
        latent vector once, as K, and no V."""
        shared = self._number("attention.shared_kv_layers")
        if shared and at >= count - shared:
            return 0, 0  # these read the cache of an earlier layer (llama_hparams::has_kv)
        heads = self._per_layer("attention.head_count", at)
        head_count_kv = self._values.get(self._key("attention.head_count_kv"))
        groups = heads if head_count_kv is None else self._per_layer("attention.head_count_kv", at)
        swa = "_swa" if self._window(at) and self._number("attention.key_length_swa") else ""
        width = self._number(f"attention.key_length{swa}") or self._head_width()
        value = self._number(f"attention.value_length{swa}") or self._head_width()
        if self._number("attention.key_length_mla"):
            return groups * width, 0
        return groups * width, groups * value

    def _head_width(self) -> int:
        """``n_embd / n_head`` unless the file says (llama-model.cpp, load_hparams)."""
        explicit = self._number("attention.key_length")
        heads = self._per_layer("attention.head_count", 0) or self._number("attention.head_count")
        return explicit or (self._number("embedding_length") // heads if heads else 0)

    def _window(self, at: int) -> int:
        """Tokens that layer ``at`` looks back, 0 for all of them. Which layers have a window is a
        pattern that mostly stands in the loader's code (llama-model.cpp, set_swa_pattern); it only
        counts where the engine keeps window-sized caches, and ours does not."""
        window = self._number("attention.sliding_window") or _WINDOWS.get(self._architecture, 0)
        if not window:
            return 0
        match self._values.get(self._key("attention.sliding_window_pattern")):
            case Array():
                flags = self._list("attention.sliding_window_pattern")
                return window if at < len(flags) and flags[at] else 0
            case bool():
                return window
            case int(pattern):
                period = pattern
            case _:
                period = _PERIODS.get(self._architecture, 0)
        return window if period == 0 or at % period < period - 1 else 0

    def _state_width(self) -> int:
        """f32 numbers of one layer's state for one sequence: ``llama_hparams::n_embd_r`` +
        ``n_embd_s`` (llama-hparams.cpp); they are kept as f32 (llama_memory_recurrent)."""
        width = self._number("embedding_length")
        if head := self._number("wkv.head_size"):
            return (self._number("token_shift_count") or 2) * width + width * head
        if cache := self._number("shortconv.l_cache"):
            return width * (cache - 1)
        inner, state = self._number("ssm.inner_size"), self._number("ssm.state_size")
        groups, kernel = self._number("ssm.group_count"), self._number("ssm.conv_kernel")
        return max(0, kernel - 1) * (inner + 2 * groups * state) + state * inner

    def _feed_forward(self, at: int, names: list[str]) -> int:
        if _routed(names):
            used = max(1, min(self._number("expert_used_count"), MAX_EXPERTS))
            inner = self._number("expert_feed_forward_length") or self._per_layer(
                "feed_forward_length", at
            )
            return used * inner
        return self._per_layer("feed_forward_length", at)

    def _key(self, name: str) -> str:
        return f"{self._architecture}.{name}"

    def _number(self, name: str) -> int:
        match self._values.get(self._key(name)):
            case bool():
                return 0
            case int(value):
                return max(0, value)
            case Array():
                return max(self._list(name), default=0)
        return 0

    def _per_layer(self, name: str, at: int) -> int:
        """A number that some models give once a layer."""
        match self._values.get(self._key(name)):
            case Array():
                found = self._list(name)
                return found[at] if at < len(found) else 0
        return self._number(name)

    def _list(self, name: str) -> tuple[int, ...]:
        if name not in self._lists:
            value = self._values.get(self._key(name))
            found = numbers(value) if isinstance(value, Array) else ()
            self._lists[name] = tuple(max(0, each) for each in found)
        return self._lists[name]


def _by_type(tensors: tuple[Tensor, ...]) -> tuple[int, ...]:
    sums: dict[int, int] = {}
    for tensor in tensors:
        if (
            tensor.type not in _FLOATS
            and len(tensor.shape) > 1
            and _stem(tensor.name) not in _INPUT
        ):
            sums[tensor.type] = sums.get(tensor.type, 0) + _size(tensor)
    return tuple(sorted(sums.values(), reverse=True))


def _routed(names: list[str]) -> bool:
    return any("_exps" in name for name in names)


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0]


def _size(tensor: Tensor) -> int:
    return tensor.size if tensor.size is not None else 2 * tensor.elements

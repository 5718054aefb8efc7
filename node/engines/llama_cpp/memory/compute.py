"""Bytes of the buffers in which a decode step is computed.

llama.cpp reserves them for its largest step (llama-context.cpp, ``sched_reserve``): ``n_ubatch``
tokens of all slots, the cache full, and as many rows of logits as the engine says that it will ask
for (``n_outputs_max``). The graph below is that of a decoder with gated
feed-forward layers and flash attention (``build_llama``, ``llm_graph_context::build_attn``,
``build_ffn`` and ``build_moe_ffn``, llama-graph.cpp), which most architectures share, give or take
a norm; flash attention is on wherever the device can do it, since the engine leaves it at auto.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from node.engines.llama_cpp.memory.allocation import Node, peak_bytes
from node.models.gguf_shape import LayerShape, Shape

F16, F32, I32, I64 = 2, 4, 4, 8
_MOST = 24  # layers of a graph; a pattern of alternating layers has shown itself by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The largest decode step. ``tokens`` in it (``n_ubatch``), ``cells`` of each slot's cache.
    ``outputs``: rows of logits (``n_outputs_max``). ``flash``: attention without a matrix of
    scores."""

    tokens: int
    slots: int
    cells: int
    outputs: int
    flash: bool = True

    @property
    def rows(self) -> int:
        return min(self.outputs, self.tokens)

    @property
    def mask_bytes(self) -> int:
        return (F16 if self.flash else F32) * self.cells * self.tokens


def buffer_bytes(shape: Shape, batch: Batch, layers: Sequence[LayerShape]) -> int:
    """The compute buffer of a device that holds ``layers``, the last of them the model's last.

    Of a CPU build of llama.cpp this is what it reports, to the hundredth of a MiB (tests compare).
    """
    return peak_bytes(_Graph(shape, batch).nodes(_distinct(layers)))


def host_bytes(shape: Shape, batch: Batch, layers: Sequence[LayerShape]) -> int:
    """RAM for a decode step of which ``layers`` are on the CPU. With none there, what is left are
    token embeddings, looked up there, and the masks, made there (llama-graph.cpp,
    ``build_inp_embd``, ``build_attn_inp_kv``)."""
    if layers:
        return buffer_bytes(shape, batch, layers) + _work_bytes(shape, batch, layers)
    embedded = F32 * shape.embedding_length * batch.tokens
    return 2 * embedded + batch.mask_bytes


def output_bytes(shape: Shape, batch: Batch) -> int:
    """Logits where the sampler reads them (llama-context.cpp, ``output_reserve``)."""
    return F32 * shape.vocabulary * max(batch.outputs, batch.slots)


def pool_bytes(shape: Shape, batch: Batch) -> int:
    """What CUDA's kernels take beside the compute buffer: activations of the widest product, in the
    form that they are multiplied in (ggml-cuda.cu, ``ggml_cuda_pool``). Taken as one f32 a number,
    which is more than q8_1 and f16 need. NOT MEASURED here."""
    return F32 * _widest(shape, shape.layers) * batch.tokens


def _work_bytes(shape: Shape, batch: Batch, layers: Sequence[LayerShape]) -> int:
    """What CPU threads convert activations into before they multiply; grows to the largest product
    of the graph and stays. Taken as f16, which is what f16 weights need; quantised ones need about
    half (ggml-cpu.c, ``ggml_graph_plan``, MUL_MAT, and ``type_traits_cpu.vec_dot_type``)."""
    return F16 * _widest(shape, layers) * batch.tokens


def _widest(shape: Shape, layers: Sequence[LayerShape]) -> int:
    """Numbers a token in the widest product of ``layers``."""
    return max(
        (
            max(layer.feed_forward, layer.heads * shape.head_width, shape.embedding_length)
            for layer in layers
        ),
        default=0,
    )


def _distinct(layers: Sequence[LayerShape]) -> list[LayerShape]:
    """At most three of each run of layers that look alike: more of the same take nothing more."""
    runs = groupby(layers, key=lambda each: (each.heads, each.key_width, each.feed_forward))
    chosen = [layer for _, run in runs for layer in list(run)[:3]]
    return chosen if len(chosen) <= _MOST else chosen[: _MOST // 2] + chosen[-_MOST // 2 :]


class _Graph:
    def __init__(self, shape: Shape, batch: Batch) -> None:
        self._shape = shape
        self._batch = batch
        self._nodes: list[Node] = []
        tokens = batch.tokens
        self._tokens = Node(I32 * tokens, given=True)
        # Reserved although tokens come as ids: the graph can also start from embeddings.
        self._embedded = Node(self._width(tokens), given=True)
        self._positions = Node(I32 * tokens, given=True)
        self._key_places = Node(I64 * tokens, given=True)
        self._value_places = Node(I64 * tokens, given=True)
        self._mask = Node(batch.mask_bytes, given=True)
        self._window_inputs = tuple(
            Node(size, given=True) for size in (I64 * tokens, I64 * tokens, batch.mask_bytes)
        )
        self._chosen = Node(I32 * batch.rows, given=True)

    def nodes(self, layers: Sequence[LayerShape]) -> list[Node]:
        rows = self._batch.tokens
        windowed = self._window_inputs if any(layer.window for layer in layers) else ()
        stream = self._add(self._width(rows), self._tokens, self._embedded, *windowed)
        for number, layer in enumerate(layers):
            last = number == len(layers) - 1
            rest = stream
            out = self._attention(layer, self._norm(stream, rows))
            if last:  # only the rows whose logits are asked for go on
                rows = self._batch.rows
                out = self._add(self._width(rows), out, self._chosen)
                rest = self._add(self._width(rows), rest, self._chosen)
            stream = self._add(self._width(rows), out, rest, inplace=True)
            normed = self._norm(stream, rows)
            inner = self._experts(layer, normed, rows) if layer.expert_bytes else None
            inner = inner or self._feed_forward(layer, normed, rows)
            stream = self._add(self._width(rows), inner, stream, inplace=True)
        normed = self._norm(stream, rows)
        logits = Node(F32 * self._shape.vocabulary * rows, (normed,), kept=True)
        self._nodes.append(logits)
        return self._nodes

    def _width(self, rows: int) -> int:
        return F32 * self._shape.embedding_length * rows

    def _add(self, size: int, *sources: Node, inplace: bool = False) -> Node:
        node = Node(size, sources, inplace=inplace)
        self._nodes.append(node)
        return node

    def _view(self, of: Node) -> Node:
        node = Node(0, (of,), view=of.view or of)
        self._nodes.append(node)
        return node

    def _norm(self, stream: Node, rows: int) -> Node:
        normed = self._add(self._width(rows), stream, inplace=True)
        return self._add(self._width(rows), normed, inplace=True)

    def _attention(self, layer: LayerShape, normed: Node) -> Node:
        rows = self._batch.tokens
        queries = F32 * layer.heads * self._shape.head_width * rows
        keys, values = F32 * layer.key_width * rows, F32 * layer.value_width * rows
        query = self._add(queries, self._view(self._add(queries, normed)), self._positions)
        value = self._view(self._add(values, normed))
        key = self._add(keys, self._view(self._add(keys, normed)), self._positions)
        self._add(0, self._view(key), self._key_places)
        self._add(0, self._view(value), self._value_places)
        seen = self._view(query)
        if not self._batch.flash:
            scores = F32 * layer.heads * self._batch.cells * rows
            seen = self._add(scores, self._add(scores, seen), self._mask, inplace=True)
            seen = self._view(self._add(queries, seen))
        attended = self._add(queries, seen, self._mask)
        return self._add(self._width(rows), self._view(attended))

    def _feed_forward(self, layer: LayerShape, normed: Node, rows: int) -> Node:
        inner = F32 * layer.feed_forward * rows
        gate, up = self._add(inner, normed), self._add(inner, normed)
        return self._add(self._width(rows), self._add(inner, gate, up))

    def _experts(self, layer: LayerShape, normed: Node, rows: int) -> Node:
        used = max(1, self._shape.experts_used)
        # The router's tensors are small and matter all the same: they break up larger holes.
        logits = self._add(F32 * layer.experts * rows, normed)
        chances = self._add(F32 * layer.experts * rows, logits, inplace=True)
        chosen = self._view(self._add(I32 * layer.experts * rows, chances))
        shares = self._add(F32 * used * rows, self._view(chances), chosen)
        total = self._add(F32 * rows, self._view(shares))
        shares = self._view(self._add(F32 * used * rows, self._view(shares), total, inplace=True))
        inner = F32 * layer.feed_forward * rows
        normed = self._view(normed)
        gate, up = self._add(inner, normed, chosen), self._add(inner, normed, chosen)
        each = self._add(used * self._width(rows), self._add(inner, gate, up), chosen)
        weighted = self._add(used * self._width(rows), each, shares, inplace=True)
        total = self._view(weighted)
        for _ in range(used - 1):
            total = self._add(self._width(rows), total, self._view(weighted), inplace=True)
        return total

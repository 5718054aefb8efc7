"""Bytes of the cache that a sequence fills: keys and values, or a recurrent state."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import ConfigError
from node.models.gguf_header import TENSOR_TYPES
from node.models.gguf_shape import LayerShape

CELLS_PADDING = 256
STATE_BYTES = 4  # recurrent states are f32, whatever the KV type
_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q5_0": 6, "q5_1": 7, "q4_0": 2, "q4_1": 3}
KV_TYPES = tuple(_TYPES)


@dataclass(frozen=True, slots=True)
class CacheType:
    """How ``elements`` numbers of the cache are stored in ``block_bytes`` bytes."""

    name: str
    elements: int
    block_bytes: int

    def row(self, width: int) -> int:
        """Bytes of ``width`` numbers, a whole number of blocks (ggml.c, ``ggml_row_size``)."""
        return -(-width // self.elements) * self.block_bytes


def cache_type(name: str) -> CacheType:
    """Raises ``ConfigError`` for a type that llama.cpp keeps no cache in."""
    if name not in _TYPES:
        raise ConfigError(f"KV type '{name}' is unknown; one of {', '.join(KV_TYPES)}")
    _, elements, block_bytes = TENSOR_TYPES[_TYPES[name]]
    return CacheType(name, elements, block_bytes)


def cells(context_length: int) -> int:
    """Cells that a slot of ``context_length`` tokens gets: a multiple of 256.

    Source: llama-context.cpp, constructor of ``llama_context`` (``n_ctx_seq = GGML_PAD(n_ctx /
    n_seq_max, 256)`` where the cache is not unified, as ours).
    """
    return -(-context_length // CELLS_PADDING) * CELLS_PADDING


def window_cells(context_length: int, window: int, ubatch: int) -> int:
    """Cells of a layer that looks back ``window`` tokens, if the engine does not ask for full-size
    caches: the window and one batch, padded. Source: llama-kv-cache-iswa.cpp, constructor of
    ``llama_kv_cache_iswa``."""
    whole = cells(context_length)
    return whole if not window else min(whole, cells(window + ubatch))


def slot_bytes(
    layer: LayerShape, *, context_length: int, kv: CacheType, ubatch: int, full_windows: bool
) -> int:
    """Bytes that ``layer`` costs a slot.

    Source: llama-kv-cache.cpp, constructor of ``llama_kv_cache`` (``ggml_new_tensor_3d(type,
    n_embd_k_gqa, kv_size, n_stream)`` for K and again for V; no V with MLA), and
    llama-memory-recurrent.cpp, constructor of ``llama_memory_recurrent`` (``n_embd_r`` and
    ``n_embd_s`` f32 numbers a sequence and layer).
    """
    window = 0 if full_windows else layer.window
    held = window_cells(context_length, window, ubatch)
    keys_and_values = held * (kv.row(layer.key_width) + kv.row(layer.value_width))
    return keys_and_values + STATE_BYTES * layer.state_width

"""A small Llama in plain torch, laid out so that its weights go into GGUF unchanged.

The shapes and the maths follow llama.cpp's `llama` architecture: RMSNorm before each block,
grouped-query attention, SwiGLU, tied input and output embeddings. Rotary embedding turns
neighbouring pairs (0,1), (2,3), ..., as in Meta's own code, which is what llama.cpp expects
of this architecture; Hugging Face's half-split layout would need a permutation on export.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """The sizes of one model; every two-dimensional row length divides by 32 for Q8_0."""

    vocabulary: int
    width: int = 256
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 4
    hidden: int = 640
    context: int = 1024
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Elements in one attention head."""
        return self.width // self.heads


def rope_tables(shape: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (context, head_width / 2), of the rotary angles (Su et al., 2021)."""
    half = torch.arange(0, shape.head_width, 2, dtype=torch.float32) / shape.head_width
    angles = torch.outer(torch.arange(shape.context).float(), shape.rope_base**-half)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each neighbouring pair of x, (batch, heads, time, head_width), by its angle."""
    even, odd = x.reshape(*x.shape[:-1], -1, 2).unbind(-1)
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return turned.flatten(-2).to(x.dtype)


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention over (batch, heads, time, head_width)."""
    time = query.shape[2]
    if time > 256:
        return functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    # On a CPU the plain form takes a third of the fused kernel's time for short rows.
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    future = torch.full((time, time), -torch.inf, dtype=scores.dtype).triu(1)
    return torch.softmax(scores + future, -1).to(value.dtype) @ value


class Block(nn.Module):  # type: ignore[misc, unused-ignore]  # torch may be absent
    """Attention and feed-forward, each behind its norm and added to the residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        keys = shape.key_value_heads * shape.head_width
        self.attn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.attn_q = nn.Linear(shape.width, shape.width, bias=False)
        self.attn_k = nn.Linear(shape.width, keys, bias=False)
        self.attn_v = nn.Linear(shape.width, keys, bias=False)
        self.attn_output = nn.Linear(shape.width, shape.width, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        self.ffn_gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.ffn_down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Map (batch, time, width) to the same shape."""
        x = x + self.attend(self.attn_norm(x), cosine, sine)
        y = self.ffn_norm(x)
        fed: Tensor = self.ffn_down(functional.silu(self.ffn_gate(y)) * self.ffn_up(y))
        return x + fed

    def attend(self, y: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Causal self-attention over (batch, time, width)."""
        split = (-1, self.shape.head_width)
        query = rotate(self.attn_q(y).unflatten(-1, split).transpose(1, 2), cosine, sine)
        key = rotate(self.attn_k(y).unflatten(-1, split).transpose(1, 2), cosine, sine)
        value = self.attn_v(y).unflatten(-1, split).transpose(1, 2)
        share = self.shape.heads // self.shape.key_value_heads
        if share > 1:
            key, value = key.repeat_interleave(share, 1), value.repeat_interleave(share, 1)
        mixed = attention(query, key, value)
        out: Tensor = self.attn_output(mixed.transpose(1, 2).flatten(2))
        return out


class Llama(nn.Module):  # type: ignore[misc, unused-ignore]  # torch may be absent
    """Token ids (batch, time) to logits (batch, time, vocabulary)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocabulary, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        cosine, sine = rope_tables(shape)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                # Residual branches start smaller with depth (GPT-2's scaling), so that the
                # first steps of a deep stack stay tame at a high learning rate.
                branch = name.endswith(("attn_output.weight", "ffn_down.weight"))
                scale = (2 * shape.layers) ** -0.5 if branch else 1.0
                nn.init.normal_(weight, std=0.04 * scale)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the next-token logits at every position."""
        hidden = self.hidden(tokens)
        return functional.linear(hidden, self.token_embd.weight)

    def hidden(self, tokens: Tensor) -> Tensor:
        """Return the normed last hidden state, (batch, time, width)."""
        time = tokens.shape[1]
        cosine, sine = self.get_buffer("cosine")[:time], self.get_buffer("sine")[:time]
        x: Tensor = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, cosine, sine)
        out: Tensor = self.output_norm(x)
        return out


def parameter_count(model: nn.Module) -> int:
    """How many numbers the model learns."""
    return sum(weight.numel() for weight in model.parameters())

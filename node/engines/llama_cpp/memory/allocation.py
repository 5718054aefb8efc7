"""The peak of a compute graph: ggml's graph allocator, replayed on sizes.

Buffers are given to tensors when they are computed and taken back after their last use, best fit,
from one growing block. What such an allocator ends up with depends on the order and on the holes,
which no closed formula gives (an estimate by the largest live set was 5 to 25 % short), so it is
replayed; a graph of four layers has about a hundred tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

ALIGNMENT = 32  # ggml-backend.cpp, TENSOR_ALIGNMENT of the CPU; CUDA's is 128


@dataclass(slots=True, eq=False)
class Node:
    """One tensor. ``size``: bytes, 0 for what needs none. ``view``: the tensor that it only looks
    at. ``inplace``: its operation may overwrite a source of the same size. ``given``: an input,
    there from the start to the end. ``kept``: an output, never freed."""

    size: int
    sources: tuple[Node, ...] = ()
    view: Node | None = None
    inplace: bool = False
    given: bool = False
    kept: bool = False
    _users: int = field(default=0, repr=False)
    _views: int = field(default=0, repr=False)
    _place: tuple[int, int] | None = field(default=None, repr=False)


class _Block:
    """ggml-alloc.c, ``ggml_dyn_tallocr``: free places sorted by offset, the last one endless."""

    def __init__(self) -> None:
        self._free: list[tuple[int, int]] = [(0, 1 << 62)]
        self.peak = 0

    def take(self, size: int) -> tuple[int, int]:
        size = -(-size // ALIGNMENT) * ALIGNMENT
        fitting = [at for at, (_, room) in enumerate(self._free[:-1]) if room >= size]
        # Of equally good places ggml takes the last.
        best = min(fitting, key=lambda at: (self._free[at][1], -at), default=len(self._free) - 1)
        offset, room = self._free[best]
        if room == size:
            del self._free[best]
        else:
            self._free[best] = (offset + size, room - size)
        self.peak = max(self.peak, offset + size)
        return offset, size

    def give_back(self, place: tuple[int, int]) -> None:
        self._free.append(place)
        self._free.sort()
        merged = [self._free[0]]
        for offset, room in self._free[1:]:
            before, size = merged[-1]
            if before + size == offset:
                merged[-1] = (before, size + room)
            else:
                merged.append((offset, room))
        self._free = merged


def peak_bytes(nodes: Sequence[Node]) -> int:
    """Bytes of the buffer that computing ``nodes``, in this order, needs. ``nodes`` are used up.

    Source: ggml-alloc.c, ``ggml_gallocr_alloc_graph_impl``, ``ggml_gallocr_allocate_node`` and
    ``ggml_gallocr_free_node``.
    """
    block = _Block()
    for node in nodes:
        if node.view is not None:
            node.view._views += 1
        for source in node.sources:
            source._users += 1
    for node in nodes:
        for each in (node, *node.sources):
            if each.given and each._place is None:
                each._place = block.take(each.size)
    for node in nodes:
        for source in node.sources:
            _place(block, source)
        _place(block, node)
        for source in node.sources:
            source._users -= 1
            if source._users == 0 and source._views == 0:
                _free(block, source)
    return block.peak


def _place(block: _Block, node: Node) -> None:
    if node._place is not None or node.view is not None or node.size == 0:
        return
    if node.inplace:
        for source in node.sources:
            owner = source.view or source
            if owner._place is None or owner.size != node.size or owner.given or owner.kept:
                continue
            if source._users != 1 or source._views != 0:
                continue
            if source.view is None or (owner._views == 1 and owner._users == 0):
                node._place, owner._place = owner._place, None
                return
    node._place = block.take(node.size)


def _free(block: _Block, node: Node) -> None:
    owner = node
    if node.view is not None:
        owner = node.view
        owner._views -= 1
        if owner._views or owner._users:
            return
    if owner._place is not None and not owner.given and not owner.kept:
        block.give_back(owner._place)
        owner._place = None

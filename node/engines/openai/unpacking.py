"""A response that came compressed, though nobody asked for that: proxies do so."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

from mesh.cleaned import cleaned
from mesh.errors import EngineFailed

_WBITS = {"gzip": 47, "x-gzip": 47, "deflate": 47}  # 47: of gzip or zlib, as the head says
_MOST = 64 * 1024  # bytes at a time: a megabyte of nothing is a kilobyte when compressed


async def unpacked(chunks: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """Never an empty one. Raises ``EngineFailed`` for an encoding that is unknown, for what is not
    in it, and for what ends too soon."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        async for data in chunks:
            if data:
                yield data
        return
    if encoding not in _WBITS:
        raise EngineFailed(
            f"the upstream compresses its answer ({cleaned(encoding, 40)}), although it was asked "
            "not to; turn that off there"
        )
    unpacking = zlib.decompressobj(_WBITS[encoding])
    async for data in chunks:
        while data and not unpacking.eof:
            try:
                part = unpacking.decompress(data, _MOST)
            except zlib.error:
                raise EngineFailed(f"the upstream's answer is no {encoding}, as it says") from None
            data = unpacking.unconsumed_tail
            if part:
                yield part
    if not unpacking.eof:
        raise EngineFailed("the upstream's answer broke off before its end")

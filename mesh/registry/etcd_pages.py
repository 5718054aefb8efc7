"""All that etcd holds below a prefix, in pages: each answer is bounded, however much there is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aetcd
from aetcd import rpc

# Keys of one page. The first is small, since values may have 1.5 MiB each; the next are as large as
# the last one lets hope.
FIRST_PAGE, LARGEST_PAGE = 16, 256
PAGE_BYTES = 4 * 1024 * 1024


def end_of(prefix: bytes) -> bytes:
    """The first key past all that begin with ``prefix``, which does not end in 0xff."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


async def pages(client: aetcd.Client, prefix: bytes, timeout_s: float) -> AsyncIterator[Any]:
    """Range responses of one revision (that of the first one's header), in key order. ``count`` of
    the first: all keys that there are. ``timeout_s``: for each page. Raises what gRPC raises."""
    start, revision, limit = prefix, 0, FIRST_PAGE
    while True:
        request = rpc.RangeRequest(
            key=start, range_end=end_of(prefix), limit=limit, revision=revision
        )
        try:
            page = await client.kvstub.Range(request, timeout=timeout_s, metadata=client.metadata)
        except rpc.RpcError as error:
            if error.code() is not rpc.StatusCode.RESOURCE_EXHAUSTED or limit == 1:
                raise
            limit = max(1, limit // 8)  # more than the channel takes in one message
            continue
        revision = revision or page.header.revision
        yield page
        if not page.more or not page.kvs:
            return
        start = page.kvs[-1].key + b"\0"
        limit = _next(limit, page.ByteSize())


def _next(limit: int, size: int) -> int:
    fits = PAGE_BYTES * limit // max(1, size)
    return max(1, min(LARGEST_PAGE, 4 * limit, fits))

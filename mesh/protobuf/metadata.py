"""Keys of the metadata that travels beside the client plane's messages. Values are ASCII."""

from __future__ import annotations

from typing import Any

ERROR_CODE = "mesh-error-code"
REQUEST_ID = "mesh-request-id"
RETRY_AFTER_S = "mesh-retry-after-s"
NODE_ID = "mesh-node-id"
TRACEPARENT = "traceparent"
# Of a request that may come in chunks: the size in bytes of its serialised message.
REQUEST_BYTES = "mesh-request-bytes"
# In the answer's initial metadata: there is room for the request's chunks.
GO_AHEAD = "mesh-go-ahead"
# The client's own name for an answer, by which it acknowledges what it has read of it.
ACKNOWLEDGES = "mesh-acknowledges"


def said(context: Any, name: str) -> str | None:
    """What the metadata of a call, by its context, say under ``name``."""
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return str(value)
    return None

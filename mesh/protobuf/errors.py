"""How a ``MeshError`` leaves over gRPC: a status for any client, the exact code for ours.

Used by every process that serves the client plane: orchestrators, and nodes for ticket holders.
"""

from __future__ import annotations

import grpc

from mesh.cleaned import cleaned
from mesh.errors import (
    AttemptFailed,
    BadTicket,
    Cancelled,
    CannotAnswer,
    ConfigError,
    DeadlineExceeded,
    InvalidRequest,
    MeshError,
    NotServed,
    Overloaded,
    Quarantined,
    UnknownModel,
    UnknownSpecialty,
    Unreachable,
)
from mesh.protobuf.metadata import ERROR_CODE, NODE_ID, REQUEST_ID, RETRY_AFTER_S

# Most specific first. UNAVAILABLE tells generic clients that a retry may help.
_STATUS: tuple[tuple[type[MeshError], grpc.StatusCode], ...] = (
    (InvalidRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (UnknownSpecialty, grpc.StatusCode.NOT_FOUND),
    (UnknownModel, grpc.StatusCode.NOT_FOUND),
    (CannotAnswer, grpc.StatusCode.NOT_FOUND),  # and will be the same the next time
    (Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (NotServed, grpc.StatusCode.UNAVAILABLE),
    (Unreachable, grpc.StatusCode.UNAVAILABLE),
    (DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
    (Cancelled, grpc.StatusCode.CANCELLED),
    (BadTicket, grpc.StatusCode.PERMISSION_DENIED),
    # Part of the answer may be out, so no generic client should retry by itself.
    (AttemptFailed, grpc.StatusCode.ABORTED),
    # No client should send it again as it is.
    (Quarantined, grpc.StatusCode.FAILED_PRECONDITION),
    (ConfigError, grpc.StatusCode.FAILED_PRECONDITION),
)
MAX_DETAIL_CHARS = 1000  # trailers share an 8 KiB limit, and percent-encoding triples the worst


def status_of(error: MeshError) -> grpc.StatusCode:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return grpc.StatusCode.INTERNAL


def details_of(error: MeshError) -> str:
    """One line that any gRPC stack can carry."""
    return cleaned(error.message, MAX_DETAIL_CHARS)


def trailers_of(error: MeshError) -> tuple[tuple[str, str], ...]:
    trailers = [(ERROR_CODE, error.code)]
    if error.request_id:
        trailers.append((REQUEST_ID, error.request_id))
    if error.node_id and error.node_id.isascii() and error.node_id.isprintable():
        trailers.append((NODE_ID, error.node_id))
    if error.retry_after_s is not None:
        trailers.append((RETRY_AFTER_S, f"{error.retry_after_s:.3f}"))
    return tuple(trailers)

"""gRPC's errors as the SDK needs them: turned back into the one exception tree."""

from __future__ import annotations

import re
from typing import Any

import grpc

from mesh.errors import (
    BY_CODE,
    Cancelled,
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    MeshError,
    Overloaded,
    ProtocolError,
    Unreachable,
)
from mesh.protobuf.metadata import ERROR_CODE, NODE_ID, REQUEST_ID, RETRY_AFTER_S

# gRPC's own deadline beyond the request's: whoever answers ends it first, and says what happened.
DEADLINE_SLACK_S = 2.0
# For requests that leave their budget to the orchestrator; no call is without a deadline.
LONGEST_S = 24 * 3600.0

# In gRPC's own words: whose end refused, and the sizes in bytes.
_TOO_LARGE = re.compile(r"(CLIENT|SERVER): \w+ message larger than max \((\d+) vs\. (\d+)\)")
_ITS_END = "SERVER"


def call_timeout(budget_s: float | None) -> float:
    """Seconds for gRPC itself, of a request whose own budget is ``budget_s``."""
    return LONGEST_S if budget_s is None else budget_s + DEADLINE_SLACK_S


def no_orchestrator(endpoints: tuple[str, ...]) -> Unreachable:
    return Unreachable(
        f"no orchestrator answers at {' or '.join(endpoints)}; is `mesh up` running?"
    )


def translated(error: Any, endpoint: str) -> MeshError:
    """The exception for an ``AioRpcError``: the orchestrator's own by the code in its trailers,
    gRPC's by its status."""
    trailers = {str(k): str(v) for k, v in error.trailing_metadata() or ()}
    details = error.details() or ""
    code = trailers.get(ERROR_CODE)
    if code is not None:
        return BY_CODE.get(code, MeshError)(
            details,
            node_id=trailers.get(NODE_ID),
            request_id=trailers.get(REQUEST_ID),
            retry_after_s=_seconds(trailers.get(RETRY_AFTER_S)),
        )
    sizes = _TOO_LARGE.search(details)
    match error.code():
        case grpc.StatusCode.UNAVAILABLE:
            return no_orchestrator((endpoint,))
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(f"{endpoint} did not answer in time")
        case grpc.StatusCode.CANCELLED:
            return Cancelled("the call was cancelled")
        case grpc.StatusCode.RESOURCE_EXHAUSTED if sizes is not None:
            return _too_large(endpoint, sizes)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return Overloaded(f"{endpoint} serves as many streams as it can", retry_after_s=1.0)
        case grpc.StatusCode.UNIMPLEMENTED:
            return ProtocolError(f"what listens at {endpoint} is no Squadron orchestrator")
        case status:
            return InternalError(f"{endpoint} failed with {status.name}: {details}")


def _too_large(endpoint: str, sizes: re.Match[str]) -> MeshError:
    size, limit = f"{int(sizes[2]):,}", f"{int(sizes[3]):,}"
    if sizes[1] != _ITS_END:
        return ProtocolError(
            f"the answer of {endpoint} is {size} bytes; this client takes at most {limit}"
        )
    return InvalidRequest(
        f"the request is {size} bytes and {endpoint} takes at most {limit}; send less, or raise "
        "max_request_bytes there"
    )


def never_arrived(error: Any) -> bool:
    """Whether no orchestrator saw the call, so that another may be asked."""
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return False
    return all(key != ERROR_CODE for key, _ in error.trailing_metadata() or ())


def connection_lost(error: Any) -> bool:
    """Whether it is the orchestrator that went away, and not an answer of it: its own errors carry
    a code. One that is stopped in mid-stream may still cancel what it has."""
    if any(key == ERROR_CODE for key, _ in error.trailing_metadata() or ()):
        return False
    match error.code():
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED | grpc.StatusCode.UNKNOWN:
            return True
        case grpc.StatusCode.INTERNAL:
            return "RST_STREAM" in (error.details() or "")
    return False


def _seconds(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None

"""The one exception tree. A library's own errors are translated into it at that library's adapter.

    MeshError
    ├── InvalidRequest            invalid_request     the caller must change the request
    │   ├── ContextOverflow       context_overflow    prompt (+ answer) exceeds the context
    │   └── FormExplodes          form_explodes       told as ``invalid_request`` to clients
    ├── NotServed                 not_served          nobody can serve it
    │   ├── UnknownSpecialty      unknown_specialty
    │   ├── UnknownModel          unknown_model
    │   ├── NoCandidate           no_candidate        specialists exist, none is able to take it
    │   ├── CannotAnswer          cannot_answer       this model answers no request of this kind
    │   └── Overloaded            overloaded          full right now; carries ``retry_after_s``
    ├── Unreachable               unreachable         no connection to the mesh
    │   └── RegistryUnavailable   registry_unavailable
    ├── DeadlineExceeded          deadline_exceeded
    ├── Cancelled                 cancelled
    ├── BadTicket                 bad_ticket          no permission to stream from this node
    ├── AttemptFailed             attempt_failed      one try on one node ended badly
    │   ├── NodeLost              node_lost           died, stalled or was cut off
    │   ├── EngineFailed          engine_failed       the runner or its engine broke
    │   │   └── EngineLost        engine_lost         and at work on this very request
    │   │       └── FormLost      form_lost           at work on its grammar or schema
    │   ├── Draining              draining            the node finishes and takes nothing new
    │   ├── NotResumable          not_resumable       broke after its first token; may not resume
    │   └── Unread                unread              its client reads nothing; goes on when it does
    ├── Quarantined               quarantined         too much for engines, twice; ``retry_after_s``
    ├── ProtocolError             protocol_error      a peer sent what it may not
    ├── ConfigError               bad_config          settings, flags, files: names key and remedy
    │   ├── RuleError             bad_rule
    │   ├── ModelFileError        bad_model_file
    │   ├── PortInUse             port_in_use
    │   └── DuplicateNode         duplicate_node
    └── InternalError             internal            a defect of ours

``code`` travels on every wire (frames, gRPC trailers, ``ask --json``) and is append-only.
``exit_code`` is what the CLI ends with: 0 ok, 2 usage, 3 nobody can serve it, 4 mesh unreachable,
5 deadline, 1 anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, TypeVar

from mesh.cleaned import cleaned

LONGEST_MESSAGE = 4000  # characters

E = TypeVar("E", bound=BaseException)


class MeshError(Exception):
    """Base of all errors. ``message`` says in one line what was wrong and what to do. What
    strangers said stands in many of them, so all are cleaned here, once."""

    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        node_id: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        message = cleaned(message, LONGEST_MESSAGE)
        super().__init__(message)
        self.message = message
        self.node_id = node_id
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class InvalidRequest(MeshError):
    code = "invalid_request"
    exit_code = 2


class ContextOverflow(InvalidRequest):
    code = "context_overflow"


class FormExplodes(InvalidRequest):
    code = "form_explodes"


class NotServed(MeshError):
    code = "not_served"
    exit_code = 3


class UnknownSpecialty(NotServed):
    code = "unknown_specialty"


class UnknownModel(NotServed):
    code = "unknown_model"


class NoCandidate(NotServed):
    code = "no_candidate"


class CannotAnswer(NotServed):
    code = "cannot_answer"


class Overloaded(NotServed):
    code = "overloaded"


class Unreachable(MeshError):
    code = "unreachable"
    exit_code = 4


class RegistryUnavailable(Unreachable):
    code = "registry_unavailable"


class DeadlineExceeded(MeshError):
    code = "deadline_exceeded"
    exit_code = 5


class Cancelled(MeshError):
    code = "cancelled"


class BadTicket(MeshError):
    code = "bad_ticket"


class AttemptFailed(MeshError):
    code = "attempt_failed"


class NodeLost(AttemptFailed):
    code = "node_lost"


class EngineFailed(AttemptFailed):
    code = "engine_failed"


class EngineLost(EngineFailed):
    code = "engine_lost"


class FormLost(EngineLost):
    code = "form_lost"


class Draining(AttemptFailed):
    code = "draining"


class NotResumable(AttemptFailed):
    code = "not_resumable"


class Unread(AttemptFailed):
    code = "unread"


class Quarantined(MeshError):
    code = "quarantined"


class ProtocolError(MeshError):
    code = "protocol_error"


class ConfigError(MeshError):
    code = "bad_config"
    exit_code = 2


class RuleError(ConfigError):
    code = "bad_rule"


class ModelFileError(ConfigError):
    code = "bad_model_file"


class PortInUse(ConfigError):
    code = "port_in_use"


class DuplicateNode(ConfigError):
    code = "duplicate_node"


class InternalError(MeshError):
    code = "internal"


def _tree(root: type[MeshError]) -> dict[str, type[MeshError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE: dict[str, type[MeshError]] = _tree(MeshError) | {"internal": InternalError}


def from_code(code: str, message: str, **ids: str | float | None) -> MeshError:
    """The exception for a code read off a wire; an unknown (newer) code becomes ``MeshError``."""
    return BY_CODE.get(code, MeshError)(message, **ids)  # type: ignore[arg-type]


def first_of(group: BaseExceptionGroup[E]) -> E:
    """The first error in a group, however deep: of parts that fail together, one is told."""
    error: E | BaseExceptionGroup[E] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def without_frames(error: E) -> E:
    """The error, and what led to it, as values: a traceback keeps every frame that it came through,
    and a frame that has the error among its locals keeps the error, both for good. For an error
    that is kept, and for one that has been told."""
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        left += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions
    return error


def leaf(error: BaseException) -> BaseException:
    """What a ``TaskGroup`` wrapped: the first ``MeshError`` in it, else the first exception."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [leaf(inner) for inner in error.exceptions]
    return next((found for found in leaves if isinstance(found, MeshError)), leaves[0])


@contextmanager
def of_request(request_id: str) -> Iterator[None]:
    """Every ``MeshError`` that leaves the context carries the request's id."""
    try:
        yield
    except MeshError as error:
        error.request_id = request_id
        raise

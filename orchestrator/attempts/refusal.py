"""What a node's refusal, or an attempt that broke, means: who is asked next, or nobody."""

from __future__ import annotations

from dataclasses import replace

from mesh.errors import (
    AttemptFailed,
    CannotAnswer,
    ContextOverflow,
    DeadlineExceeded,
    Draining,
    InvalidRequest,
    Overloaded,
    Unread,
    from_code,
)
from mesh.fleet.eligibility import asked_for
from mesh.fleet.records import FleetView
from mesh.fleet.work import Work
from mesh.transport.base import Refused
from mesh.types import Candidate, ModelId
from orchestrator.attempts.attempt import AttemptRun, Broken
from orchestrator.picture.fleet import Fleet

TROUBLES_TOLD = 3


def after_refusal(fleet: Fleet, work: Work, run: AttemptRun, refused: Refused) -> Work:
    """The work as it is to be offered next. Raises what would be refused anywhere alike."""
    row = run.row
    error = from_code(refused.code, refused.message, node_id=row.node)
    match error:
        case ContextOverflow():
            known = run.model.context_length
            larger = max(work.larger_than, known)
            exclude = work.exclude if known else work.exclude | {row.node}
            return replace(work, larger_than=larger, overflow=error, exclude=exclude)
        case CannotAnswer():
            return without(work, row.model, error)
        case InvalidRequest() | DeadlineExceeded():
            raise error
        case Overloaded() | Draining():
            fleet.refused(row.node, row.model, refused.retry_after_s)
            return work
        case _:
            # It will say the same again, so this request does not ask it again.
            return replace(work, exclude=work.exclude | {row.node})


def after_break(fleet: Fleet, row: Candidate, broken: Broken) -> AttemptFailed:
    """What the request lost at ``row``; the fleet knows who is to blame from then on. Raises
    ``InvalidRequest``, which would break anywhere alike."""
    error = broken.error
    if isinstance(error, InvalidRequest):
        raise error
    if broken.blame:
        fleet.failed(row.node, error.message)
    elif not isinstance(error, Unread):  # which says nothing of the node
        fleet.refused(row.node, row.model, None)
    kind = type(error) if isinstance(error, AttemptFailed) else AttemptFailed
    return kind(f"{row.node_name}: {error.message}", node_id=row.node)


def without(work: Work, model: ModelId, error: CannotAnswer) -> Work:
    """Every node's ``model`` would say the same, so that the work is for others: of its specialty,
    or of the next substitute."""
    return replace(work, unable=work.unable | {model}, inability=work.inability or error, home=None)


def troubles(view: FleetView, work: Work) -> str:
    """What nodes say is wrong with the models that could have answered, "" for nothing: for who
    waited in vain for one that cannot be loaded, or whose upstream is away."""
    found = [
        f"{node.record.name}: model '{model.id}': {model.error}"
        for node in view.nodes.values()
        for model in node.record.models
        if model.error and asked_for(model, work, work.specialty)
    ]
    return "; ".join(sorted(found)[:TROUBLES_TOLD])

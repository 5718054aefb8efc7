"""What a node's refusal, or an attempt that broke, means: who is asked next, or nobody."""

from __future__ import annotations

from dataclasses import replace

from mesh.cleaned import cleaned
from mesh.errors import (
    AttemptFailed,
    CannotAnswer,
    ContextOverflow,
    Draining,
    InvalidRequest,
    MeshError,
    Overloaded,
    Unread,
)
from mesh.fleet.eligibility import asked_for
from mesh.fleet.records import FleetView
from mesh.fleet.work import Work
from mesh.types import Candidate
from orchestrator.attempts.attempt import AttemptRun, Blame, Broken
from orchestrator.attempts.claims import ERROR_CHARS, fits
from orchestrator.picture.fleet import Fleet

TROUBLES_TOLD = 3


def after_refusal(
    fleet: Fleet, work: Work, run: AttemptRun, error: MeshError, retry_after_s: float | None
) -> Work:
    """The work as it is to be offered next. ``error``: nothing of the request itself, about which a
    second node is asked (``wrong_by_its_word``)."""
    row = run.row
    match error:
        case ContextOverflow():
            known = run.model.context_length
            larger = max(work.larger_than, known)
            exclude = work.exclude if known else work.exclude | {row.node}
            return replace(work, larger_than=larger, overflow=error, exclude=exclude)
        case CannotAnswer():
            return without(fleet.view, work, run, error)
        case Overloaded() | Draining():
            fleet.refused(row.node, row.model, retry_after_s)
            return work
        case _:
            # It will say the same again, so this request does not ask it again.
            return replace(work, tried=work.tried | {(row.node, row.model)})


def wrong_by_its_word(error: MeshError, run: AttemptRun, work: Work, delivered: int) -> bool:
    """Whether a node says that the request itself is wrong. That it is too long is to be expected
    where a context is short, and only a claim where it cannot be."""
    if isinstance(error, ContextOverflow):
        return fits(run.model, prompt=work.prompt_bytes, delivered=delivered)
    return isinstance(error, InvalidRequest)


def after_break(fleet: Fleet, row: Candidate, broken: Broken) -> AttemptFailed:
    """What the request lost at ``row``; the fleet knows who is to blame from then on."""
    error = broken.error
    why = cleaned(error.message, ERROR_CHARS)
    match broken.blame:
        case Blame.NODE:
            fleet.failed(row.node, why)
        case Blame.MODEL:
            fleet.failed(row.node, why, row.model)
        case Blame.NOBODY if not isinstance(error, Unread):  # which says nothing of the node
            fleet.refused(row.node, row.model, None)
    kind = type(error) if isinstance(error, AttemptFailed) else AttemptFailed
    return kind(f"{row.node_name}: {why}", node_id=row.node)


def without(view: FleetView, work: Work, run: AttemptRun, error: CannotAnswer) -> Work:
    """The model says that it cannot. Every node's would say the same, so that the work is for
    others: of its specialty, or of the next substitute. It is believed once a second node with the
    model has said so too, or where there is none."""
    row = run.row
    tried = work.tried | {(row.node, row.model)}
    said_before = any(model == row.model for _, model in work.tried)
    left = any(
        node.link_up and node.record.model(row.model) is not None
        for name, node in view.nodes.items()
        if (name, row.model) not in tried and name not in work.exclude
    )
    unable = work.unable if left and not said_before else work.unable | {row.model}
    inability = work.inability or error
    return replace(work, tried=tried, unable=unable, inability=inability, home=None)


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

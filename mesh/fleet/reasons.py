"""Placement's codes in words for people: rows as ``mesh route`` and traces show them, and the error
of a request that nobody takes."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

from mesh.errors import ContextOverflow, MeshError, NoCandidate, UnknownModel, UnknownSpecialty
from mesh.fleet.eligibility import Refusal, RefusalCode
from mesh.fleet.outlook import Absent, Missing, concerned
from mesh.fleet.placement import (
    Ineligible,
    Lack,
    Ranking,
    known_models,
    known_specialties,
)
from mesh.fleet.standings import WARMTH, Row
from mesh.types import Candidate, ModelId, Specialty

REASONS_SHOWN = 5
NO_EMBEDDER = (
    "no node of this mesh has a model that makes embeddings; start one with "
    "`mesh node --model FILE.gguf --specialty embedding`, its file an embedding model or with "
    "`--option embedding=true`"
)


def words(refusal: Refusal) -> str:
    about = refusal.about
    match refusal.code:
        case RefusalCode.TRIED:
            return "already tried for this request"
        case RefusalCode.NODE_STARTING:
            return f"starting: {about}" if about else "starting"
        case RefusalCode.NODE_DRAINING:
            return f"draining: {about}" if about else "draining"
        case RefusalCode.NODE_FAILED:
            return f"failed: {about}" if about else "failed"
        case RefusalCode.SET_ASIDE:
            return f"set aside for {refusal.seconds:.1f} s more: {about}"
        case RefusalCode.UNKNOWN_TRANSPORT:
            return f"speaks '{about}', which this version does not; upgrade one of the two"
        case RefusalCode.NO_LINK:
            return f"no link to {about}"
        case RefusalCode.NO_MODEL:
            return "has no model"
        case RefusalCode.OTHER_MODEL:
            return f"is not '{about}'"
        case RefusalCode.OTHER_SPECIALTY:
            return f"does not serve '{about}'"
        case RefusalCode.MODEL_FAILED:
            return f"model failed: {about}" if about else "model failed"
        case RefusalCode.PROMPT_TOO_LONG:
            return (
                f"a prompt of {refusal.prompt_bytes:,} bytes cannot fit "
                f"its context of {refusal.context_tokens:,} tokens"
            )
        case RefusalCode.ONLY_EMBEDS:
            return "makes embeddings and no answers"
        case RefusalCode.ONLY_ANSWERS:
            return "gives answers and makes no embeddings"
        case RefusalCode.UNABLE:
            return "said that it cannot answer this"
        case RefusalCode.CONTEXT_TOO_SMALL:
            return f"its context of {refusal.context_tokens:,} tokens is too small for this"
        case RefusalCode.OTHER_WEIGHTS:
            return f"has other weights than '{about}', and the request is strict"


def candidates(ranking: Ranking, rows: Iterable[Row | Ineligible]) -> tuple[Candidate, ...]:
    """The ranking's ``rows``, worded."""
    return tuple(candidate(ranking, row) for row in rows)


def candidate(ranking: Ranking, row: Row | Ineligible) -> Candidate:
    instead = _instead(ranking)
    record = row.view.record
    match row:
        case Ineligible(model=model, refusal=refusal):
            return Candidate(
                node=record.id,
                node_name=record.name,
                model=model.id if model is not None else ModelId(""),
                eligible=False,
                reason=instead + words(refusal),
            )
        case Row(model=model):
            home = row is ranking.home
            reason = ("holds this conversation; " if home else "") + _standing(row)
            return Candidate(
                node=record.id,
                node_name=record.name,
                model=model.id,
                eligible=True,
                reason=instead + reason,
                score=_score(row, home),
            )


def error_of(absent: Absent) -> MeshError:
    """Each time another one: an error that is raised for one request is marked with its id."""
    ranking, work = absent.ranking, absent.ranking.work
    match absent.missing:
        case Missing.CONTEXT if work.overflow is not None:
            return copy(work.overflow)
        case Missing.CONTEXT:
            return _too_long(ranking)
        case Missing.ABLE_MODEL if work.inability is not None:
            return copy(work.inability)
        case Missing.NODE if absent.registry:
            return NoCandidate(f"no node is known yet; {absent.registry}")
        case Missing.NODE:
            return NoCandidate("no node is known yet; start one with `mesh node` or `mesh up`")
        case Missing.MODEL:
            known = _listed(known_models(ranking.view))
            return UnknownModel(f"no node has a model '{work.model}'; known models: {known}")
        case Missing.EMBEDDER:
            return NoCandidate(NO_EMBEDDER)
        case Missing.SPECIALTY:
            return _unknown(ranking)
        case _:
            return _none_now(ranking)


def _too_long(ranking: Ranking) -> ContextOverflow:
    largest = max(concerned(ranking), key=lambda row: row.refusal.context_tokens)
    return ContextOverflow(
        f"the prompt has {largest.refusal.prompt_bytes:,} bytes, and the largest context for "
        f"{_asked(ranking)} has {largest.refusal.context_tokens:,} tokens "
        f"(on {largest.view.record.name}), which it cannot fit; shorten it, or start a node with "
        "a larger --context"
    )


def _asked(ranking: Ranking) -> str:
    model = ranking.work.model
    return f"model '{model}'" if model is not None else f"'{ranking.specialty}'"


def _none_now(ranking: Ranking) -> NoCandidate:
    rows = candidates(ranking, concerned(ranking))
    reasons = [f"{row.node_name}: {row.reason}" for row in rows]
    if len(reasons) > REASONS_SHOWN:
        reasons = [*reasons[:REASONS_SHOWN], f"and {len(reasons) - REASONS_SHOWN} more"]
    return NoCandidate(
        f"no node can take {_asked(ranking)} now: {'; '.join(reasons) or 'none is up'}"
    )


def _unknown(ranking: Ranking) -> MeshError:
    work, known = ranking.work, _listed(known_specialties(ranking.view))
    if not work.substitutes:
        return UnknownSpecialty(f"no node serves '{work.specialty}'; known specialties: {known}")
    if work.named:
        instead = " or ".join(f"'{name}'" for name in work.substitutes)
        return UnknownSpecialty(
            f"no node serves '{work.specialty}', nor {instead}, which may stand in for it; "
            f"known specialties: {known}"
        )
    *others, fallback = work.substitutes
    asked = ", ".join(f"'{name}'" for name in (work.specialty, *others))
    both = asked if work.specialty == fallback else f"{asked} or the fallback '{fallback}'"
    return NoCandidate(f"no node serves {both}; known specialties: {known}")


def _instead(ranking: Ranking) -> str:
    if ranking.instead is None:
        return ""
    asked = ranking.instead.specialty
    match ranking.instead.lack:
        case Lack.NOBODY_SERVES:
            return f"no node serves '{asked}'; "
        case Lack.NOBODY_ABLE:
            return f"no model for '{asked}' can answer this; "
        case Lack.NOBODY_FREE:
            return f"no node can take '{asked}' now; "


def _standing(row: Row) -> str:
    free = max(0, row.free_slots)
    noun = "slot" if row.slots == 1 else "slots"
    wait = f", wait {row.wait_s:.1f} s" if row.wait_s >= 0.05 else ""
    takes = f", an answer in about {row.answer_s:.2g} s" if row.answer_s is not None else ""
    return f"{row.state}, {free} of {row.slots} {noun} free{wait}{takes}"


def _score(row: Row, home: bool) -> float:
    """Falls along the ranks. Ten millions: the conversation is there; millions: warmth; half a
    million: a slot is free; thousands: how soon it answers (``answer_time.band``); units: free
    slots; fraction: wait."""
    free = max(-99, min(99, row.free_slots))
    first = 10_000_000.0 if home else 0.0
    return round(
        first
        + 1_000_000.0 * WARMTH[row.state]
        + (500_000.0 if row.free_slots > 0 else 0.0)
        + 1_000.0 * (100 - row.band)
        + free
        + 1.0 / (1.0 + max(0.0, row.wait_s)),
        3,
    )


def _listed(names: frozenset[ModelId] | frozenset[Specialty]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:20])
    more = f" and {len(ordered) - 20} more" if len(ordered) > 20 else ""
    return (shown or "none") + more

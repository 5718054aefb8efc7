"""Attempts, one after the other, until one has finished: for answers and for vectors alike.

A refusal moves on to the next candidate; a failure sets the node aside and, if tokens were
delivered already, the next attempt goes on from exactly those. A slot has one owner, the attempt
that runs in it, and leaving that gives it back; what the request holds for its next attempt, while
it leaves the one before, is in its ``Standby``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from copy import copy
from dataclasses import replace
from functools import partial

from mesh.clock import Clock
from mesh.errors import (
    AttemptFailed,
    CannotAnswer,
    DeadlineExceeded,
    Draining,
    EngineLost,
    FormExplodes,
    InternalError,
    InvalidRequest,
    MeshError,
    NodeLost,
    NotResumable,
    NotServed,
    Unread,
)
from mesh.fleet.work import Work
from mesh.quarantine.quarantine import Quarantine
from mesh.stream import Assigned, Waiting
from mesh.transport.base import Accepted, Finished, Progress, Refused, Tokens
from mesh.types import FinishReason
from orchestrator.attempts.attempt import AttemptRun, Blame, Broken
from orchestrator.attempts.claims import ended, error_of, shown
from orchestrator.attempts.course import Claim, Course
from orchestrator.attempts.hedge import HedgePolicy
from orchestrator.attempts.opening import opened
from orchestrator.attempts.race import race
from orchestrator.attempts.refusal import (
    after_break,
    after_refusal,
    troubles,
    without,
    wrong_by_its_word,
)
from orchestrator.attempts.standby import Standby
from orchestrator.attempts.watch import Watch
from orchestrator.picture.fleet import Fleet
from orchestrator.slots.queue import RECOVERY_S, Admission

# Attempts that each brought the answer further are not counted against ``max_attempts``, since it
# was not the request that broke them; but they end too.
MOST_ATTEMPTS = 64
# How long the second node that is asked about a claim may be waited for.
OPINION_S = 10.0

Event = Assigned | Waiting | Progress | Tokens


class Failover:
    """``max_attempts``: tries per request that broke without bringing it further, or in the engine;
    refusals do not count. ``run`` watches what is under way, and must run."""

    def __init__(
        self,
        fleet: Fleet,
        admission: Admission,
        clock: Clock,
        *,
        max_attempts: int,
        hedging: HedgePolicy,
        quarantine: Quarantine,
    ) -> None:
        self._fleet = fleet
        self._admission = admission
        self._clock = clock
        self._max_attempts = max_attempts
        self._hedging = hedging
        self._watch = Watch(fleet, clock, admission.awaited)
        self.quarantine = quarantine

    async def run(self) -> None:
        """Watches deadlines and stalls until cancelled."""
        await self._watch.run()

    async def events(self, course: Course) -> AsyncGenerator[Event, None]:
        """What comes of the attempts, until one has finished: ``course`` says where. Close the
        generator to cancel: the node's slot is freed. Raises ``InvalidRequest``, ``NotServed``,
        ``DeadlineExceeded`` and ``AttemptFailed``, of which ``NotResumable``."""
        try:
            with Standby(self._admission) as standby:
                finished = False
                while not finished:
                    try:
                        async with aclosing(self._attempt(course, standby)) as events:
                            async for event in events:
                                yield event
                        finished = self._finished(course)
                    except (NotServed, DeadlineExceeded, AttemptFailed):
                        finished = course.believe()
                        if not finished:
                            raise
        except DeadlineExceeded as error:
            why = troubles(self._fleet.view, course.work)
            raise course.too_late(error, self._clock.now(), why) from error
        except NotServed as error:
            if course.lost is None:
                raise
            why = f"nobody could go on: {error.message}"
            raise course.given_up(course.lost, why) from error

    async def _attempt(self, course: Course, standby: Standby) -> AsyncGenerator[Event, None]:
        """One attempt, and a second one beside it where its first token is late."""
        slot = standby.take() or self._admission.offer(course.work)
        if slot is None:
            begun = self._clock.now()
            with self._admission.queue(course.work) as place:
                if not place.served:
                    if not course.collector.delivered:
                        yield Progress(phase=place.phase)
                    if course.lost is not None:
                        yield course.waiting(begun, lonely=place.lonely)
                slot = await place.reservation(self._until(course, begun))
            course.queued_s += self._clock.now() - begun
        course.begun_at = course.collector.delivered
        number = course.attempts + 1
        with ExitStack() as first, ExitStack() as second:
            run = course.newest = first.enter_context(
                opened(self._fleet, course, slot, number, self._clock)
            )
            begun = self._clock.now()
            late_s = self._late_s(course, run)
            if late_s is not None:
                async with aclosing(run.signs(min(late_s, course.deadline - begun))) as signs:
                    async for sign in signs:
                        if (shown := self._shown(course, sign)) is not None:
                            yield shown
                if run.outcome is None and not run.ahead and self._clock.now() >= begun + late_s:
                    await self._race(course, number + 1, first, second)
            with self._watch.over(course.run, partial(self._move, course, standby)):
                async with aclosing(course.run.events()) as events:
                    async for event in events:
                        if (shown := self._shown(course, event)) is not None:
                            yield shown
            if late_s is not None and course.first_token is not None and course.run is run:
                self._hedging.first_token(run.row.model, course.first_token - begun)
        if isinstance(course.run.outcome, Broken):
            course.attempts = max(course.attempts, number)

    def _until(self, course: Course, now: float) -> float:
        """How long to wait for a slot."""
        return min(course.deadline, now + OPINION_S) if course.asks_again else course.deadline

    def _late_s(self, course: Course, run: AttemptRun) -> float | None:
        """Seconds after which the first token is late; None: it may take its time. A resume has its
        failover; hedging is for the first token of an answer."""
        if course.begun_at or course.work.embeds:
            return None
        return self._hedging.delay_s(run.row.model)

    async def _race(self, course: Course, number: int, first: ExitStack, second: ExitStack) -> None:
        """Opens another attempt, on a node with a slot free this moment: a hedge waits for nothing
        and nobody waits for it. Who delivers first stays, the other is left at once; where neither
        does in the time that a first token may take, the first goes on alone, under the watch."""
        run, left = course.run, course.deadline - self._clock.now()
        work = replace(_likewise(course.work, run), exclude=course.work.exclude | {run.row.node})
        with Standby(self._admission) as spare:
            affordable = left > 0 and spare.hold(work) and self._hedging.spend()
            slot = spare.take() if affordable else None
            if slot is None:
                return
            other = second.enter_context(
                opened(self._fleet, course, slot, number, self._clock, hedge=True)
            )
        within_s = min(left, run.pace.first_s)
        winner, ahead = await race((run.stream, other.stream), self._clock, within_s)
        course.newest = other if winner else run
        course.newest.ahead = ahead
        (first if winner else second).close()

    def _move(self, course: Course, standby: Standby, why: Broken) -> None:
        """Leaves the attempt, if a slot elsewhere is in hand. A form that two nodes stood still at
        is not taken to a third: the second will find out whether it was the form."""
        still = why.blame is not Blame.NOBODY
        bound = course.collector.bound and not course.collector.full
        if still and course.stood_still and bound:
            return
        work = _onward(course)
        work = replace(work, exclude=work.exclude | {course.run.row.node})
        # Whoever has all that it asked for waits for nobody else.
        if course.collector.full or standby.hold(work):
            course.stood_still += still
            course.run.abandon(why)

    def _shown(self, course: Course, event: Accepted | Progress | Tokens) -> Event | None:
        """What the client sees of it."""
        match event:
            case Tokens():
                course.tokens(self._clock.now())
                return event
            case Progress():
                return None if course.begun_at else shown(event)
            case Accepted():
                row = course.run.row
                self._fleet.accepted(row.node, row.model)
                course.accepted()
                return Assigned(
                    node=row.node,
                    node_name=row.node_name,
                    model=row.model,
                    attempt=course.attempts,
                    tokenizer_hash=course.run.model.tokenizer_hash,
                    specialty=_likewise(course.work, course.run).specialty,
                    weights=course.run.weights,
                )

    def _finished(self, course: Course) -> bool:
        """Whether that was all; else ``course.work`` says who may be asked next."""
        run, collector = course.run, course.collector
        match run.outcome:
            case Finished() as end:
                return self._ended(course, end)
            case Refused(code=code, message=message, retry_after_s=retry_after_s):
                error = error_of(code, message, run.row.node)
                course.refused(error.message)
                if isinstance(error, FormExplodes):
                    raise self._exploded(course, error)
                if wrong_by_its_word(error, run, course.work, collector.delivered):
                    return self._doubted(course, error, error.message)
                if isinstance(error, DeadlineExceeded) and self._clock.now() >= course.deadline:
                    raise error
                course.work = after_refusal(self._fleet, course.work, run, error, retry_after_s)
            case Broken(error=FormExplodes() as error):
                raise self._exploded(course, error)
            case Broken(error=InvalidRequest() as error):
                return self._doubted(course, error, error.message)
            case Broken(error=CannotAnswer() as error) if not collector.delivered:
                course.work = without(self._fleet.view, course.work, run, error)
            case Broken() as broken if collector.full:
                after_break(self._fleet, run.row, broken)
                run.outcome = ended(FinishReason.LENGTH, collector.delivered)
                return True
            case Broken() as broken:
                course.lost = self._after_failure(course, broken)
            case None:
                raise InternalError("an attempt ended without an outcome")
        return False

    def _ended(self, course: Course, end: Finished) -> bool:
        """Whether the node's end is the answer's."""
        run, claim = course.run, course.claim
        why = course.collector.doubt(end, run.model)
        if why and claim is None:
            return self._doubted(course, end, why)
        self._fleet.succeeded(run.row.node, run.row.model)
        if claim is not None and isinstance(claim.said, Finished) and not course.asks_again:
            # Another one answered where that one said that this was all.
            row = claim.run.row
            self._fleet.failed(row.node, claim.why, row.model)
        return True

    def _doubted(self, course: Course, said: Finished | MeshError, why: str) -> bool:
        """A second node is asked, once, before what this one said is believed. Raises an error that
        is."""
        run, collector = course.run, course.collector
        unasked = collector.delivered > 0 and not collector.resumable
        if (course.claim is not None or unasked) and isinstance(said, MeshError):
            raise copy(said)
        course.claim = Claim(run=run, said=said, delivered=collector.delivered, why=why)
        work = _onward(course) if collector.delivered else _likewise(course.work, run)
        # Nobody is waited for who is not there.
        course.work = replace(
            work,
            tried=work.tried | {(run.row.node, run.row.model)},
            home=None,
            resuming=True,
            patience_s=0.0,
            settled=True,
        )
        return False

    def _exploded(self, course: Course, error: FormExplodes) -> MeshError:
        refusal = self.quarantine.strike(course.collector.marks(), error)
        return refusal or InvalidRequest(error.message, node_id=error.node_id)

    def _after_failure(self, course: Course, broken: Broken) -> AttemptFailed:
        """What the request lost. Raises when it may not try again."""
        row, error = course.run.row, broken.error
        lost = after_break(self._fleet, row, broken)
        if isinstance(error, EngineLost):
            refusal = self.quarantine.strike(course.collector.marks(), lost)
            if refusal is not None:
                raise refusal from error
            if course.stood_still and course.collector.bound:
                why = "another node had stood still at this grammar or schema before"
                raise course.given_up(lost, why)
        # A node may have found out meanwhile what an attempt that was moved away from it did there.
        self.quarantine.check(course.collector.marks)
        delivered = course.collector.delivered
        if delivered and not course.collector.resumable:
            why = "and this request may not be resumed; ask again"
            so_far = course.collector.words().so_far
            raise NotResumable(f"{lost.message}; {so_far} before that, {why}", node_id=row.node)
        further = course.broke(error, self._clock.now())
        if not isinstance(error, Unread) and (
            not further or not isinstance(error, NodeLost | Draining)
        ):
            course.strikes += 1
        if course.strikes >= self._max_attempts:
            why = f"that was attempt {course.strikes} of {self._max_attempts}"
            raise course.given_up(lost, why)
        if course.attempts >= MOST_ATTEMPTS:
            raise course.given_up(lost, f"that was the last of {MOST_ATTEMPTS} attempts")
        course.work = _onward(course)
        return lost


def _onward(course: Course) -> Work:
    """What the request needs once its attempt is left: as one that was admitted before, so that it
    goes ahead of new ones and may wait for a node. Of an answer that began, whoever goes on is of
    the specialty that began it, and nobody stands in; its model first, and only its weights where
    the request is strict."""
    run, collector = course.run, course.collector
    work = replace(course.work, resuming=True, patience_s=RECOVERY_S)
    if not collector.delivered:
        return work
    return replace(
        _likewise(work, run), prefer=run.row.model, weights=run.weights, strict=collector.strict
    )


def _likewise(work: Work, run: AttemptRun) -> Work:
    """For whoever serves what this attempt's model does: nobody stands in for one that is slow."""
    serves = run.model.specialties
    asked = (work.specialty, *work.substitutes)
    specialty = next((name for name in asked if name in serves), work.specialty)
    return replace(work, specialty=specialty, substitutes=())

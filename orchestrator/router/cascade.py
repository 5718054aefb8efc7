"""The cascade: ordered stages, the first that decides wins, and every stage's word is kept.

Pure given its stages, except for the stopwatch that is passed in: what a decision says of time
never changes what it decides. Only a slow stage is ever waited for, and never for longer than it
says itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
import types
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mesh.types import Decision, Specialty, StageVerdict
from orchestrator.router.base import Abstain, Features, Recording, Remembering, Stage, Verdict
from orchestrator.router.ready import ReadyAnswer
from orchestrator.router.spec import Placed

_LOG = logging.getLogger(__name__)

# What a decision is called that no stage made.
CONVERSATION = "conversation"
FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class Outcome:
    """``answer``: the whole answer, where the stage that decided has it already. ``passing``: a
    stage did not decide for a reason that may be gone a moment later, so that the same request may
    be decided otherwise then."""

    decision: Decision
    answer: ReadyAnswer | None = None
    passing: bool = False


class Cascade:
    """Immutable, so that a reload swaps one for another between two requests.

    ``stages``: asked in this order until one decides. ``fallback``: the specialty when none does;
    such a decision has confidence 0 and stage ``fallback``, since silence says nothing about how
    hard a prompt is. ``rules_version``: stamped on every decision. ``perf_counter``: seconds.
    """

    def __init__(
        self,
        stages: Sequence[Placed],
        fallback: Specialty,
        rules_version: str = "",
        *,
        perf_counter: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.stages = tuple(stages)
        self.fallback = fallback
        self.rules_version = rules_version
        self._perf_counter = perf_counter
        self._memo: Remembering | None = next(
            (placed.stage for placed in self.stages if placed.spec.remembers), None
        )
        self._quick: tuple[Stage, ...] = tuple(
            placed.stage for placed in self.stages if placed.spec.quick
        )
        self._reported: set[str] = set()  # at most one entry a stage

    @property
    def quick(self) -> tuple[Stage, ...]:
        """The stages that only look at the prompt, for what a conversation was about so far."""
        return self._quick

    async def recall(self, features: Features) -> Outcome | None:
        """What the stages that have whole answers say to a request that names who shall answer: an
        earlier answer, or the exact tools' where they are that specialty. None without them; the
        outcome's ``answer`` is None where none has it."""
        ready = [
            placed
            for placed in self.stages
            if placed.spec.remembers or (placed.spec.answers and features.model is None)
        ]
        if not ready:
            return None
        return await Cascade(
            ready, self.fallback, self.rules_version, perf_counter=self._perf_counter
        ).decide(features)

    def recording(self, features: Features) -> Recording | None:
        """What keeps this answer for the next who asks the same, None where nothing does."""
        return self._memo.recording(features) if self._memo is not None else None

    async def decide(self, features: Features) -> Outcome:
        """The decision, with one verdict for each stage that was asked. Never raises for what a
        stage does: one that fails, or is too slow, counts as abstaining, and its note says so."""
        clock = self._perf_counter
        begun = clock()
        verdicts: list[StageVerdict] = []
        passing = False
        for placed in self.stages:
            name = placed.spec.name
            started = clock()
            said = await self._ask(placed, features)
            micros = (clock() - started) * 1e6
            match said:
                case Verdict():
                    verdicts.append(
                        StageVerdict(
                            stage=name,
                            specialty=said.specialty,
                            confidence=said.confidence,
                            rule=said.rule,
                            micros=micros,
                            note=said.note,
                        )
                    )
                    decision = Decision(
                        specialty=said.specialty,
                        stage=name,
                        rule=said.rule,
                        confidence=said.confidence,
                        alternatives=said.alternatives,
                        verdicts=tuple(verdicts),
                        rules_version=self.rules_version,
                        micros=(clock() - begun) * 1e6,
                    )
                    return Outcome(decision, said.answer, passing)
                case Abstain():
                    passing = passing or (said.passing and not placed.spec.remembers)
                    verdicts.append(_abstained(name, micros, said.note))
                    if said.alternatives:
                        features = replace(features, leaning=said.alternatives)
        return Outcome(self._undecided(features, verdicts, begun), passing=passing)

    def _undecided(
        self,
        features: Features,
        verdicts: list[StageVerdict],
        begun: float,
    ) -> Decision:
        """A follow-up ("and for 12?") stays with its conversation's specialty, else fallback."""
        prior = features.prior
        stage = CONVERSATION if prior is not None else FALLBACK
        specialty = prior if prior is not None else self.fallback
        note = "stays with the conversation" if prior is not None else "every stage abstained"
        verdicts.append(
            StageVerdict(
                stage=stage, specialty=specialty, confidence=0.0, rule=None, micros=0.0, note=note
            )
        )
        return Decision(
            specialty=specialty,
            stage=stage,
            rule=None,
            confidence=0.0,
            alternatives=features.leaning,
            verdicts=tuple(verdicts),
            rules_version=self.rules_version,
            micros=(self._perf_counter() - begun) * 1e6,
        )

    async def _ask(self, placed: Placed, features: Features) -> Verdict | Abstain:
        stage = placed.stage
        try:
            if placed.spec.quick:
                quick: Stage = stage
                return quick.decide(features)
            # Nearly every answer comes at the first step, and a deadline costs as much as a stage.
            running: Coroutine[Any, Any, Verdict | Abstain] = stage.consult(features)
            try:
                awaited = running.send(None)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            try:
                async with asyncio.timeout(stage.timeout_s):
                    return await _rest(running, awaited)
            finally:
                running.close()
        except TimeoutError:
            return Abstain("had no verdict in time", passing=True)
        except Exception as error:  # noqa: BLE001
            # Stages may be somebody else's code, and whatever they raise costs only their opinion:
            # the prompt can still be answered by the stages after them. Kept in the decision, so
            # it is not swallowed, and logged once a stage, so that a hot path cannot flood the log.
            name = placed.spec.name
            if name not in self._reported:
                self._reported.add(name)
                _LOG.exception("stage '%s' failed and counts as abstaining from now on", name)
            return Abstain(f"failed: {type(error).__name__}: {error}", passing=True)


@types.coroutine
def _rest(
    running: Coroutine[Any, Any, Verdict | Abstain], awaited: Any
) -> Generator[Any, Any, Verdict | Abstain]:
    """What ``await running`` does from its first wait on, ``awaited`` being what it waits for."""
    try:
        while True:
            try:
                sent = yield awaited
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - cancellation and all else is its to see
                awaited = running.throw(error)
            else:
                awaited = running.send(sent)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


def _abstained(stage: str, micros: float, note: str) -> StageVerdict:
    return StageVerdict(
        stage=stage, specialty=None, confidence=0.0, rule=None, micros=micros, note=note
    )

"""Stage ``conversation``: a turn that leans on what was said before stays with its specialty.

"and for 12?" says nothing of itself, so that a rule finds nothing in it and a classifier guesses. A
turn that says enough by itself ("what is the capital of France", after code) is left to the stages
after this one. ``elliptic`` tells which is which.

Requests carry their whole conversation and orchestrators keep none, so that what it was about is
told from its own earlier turns, each time anew (``so_far``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mesh.types import Alternative, Message, Role, Specialty
from orchestrator.router.base import Abstain, Features, Stage, Verdict
from orchestrator.router.cohesion import cohesion
from orchestrator.router.elliptic import kind_of
from orchestrator.router.spec import StageSpec

# Of a follow-up: set by hand. No set of labelled conversations says how often one changes the
# subject after all; of 4,400 prompts that begin one, fewer than 1 in 100 look like a follow-up.
CONFIDENCE = 0.85
RULE = "elliptic"

MOST_TURNS = 5  # of the user, newest first, that stages are asked about
MOST_FOLLOW_UPS = 24  # passed over between them; a longer chain of them is about nothing sure
MOST_CHARACTERS = 4 * 1024  # of them together
FADES = 0.8  # what a turn's word weighs, against that of the turn after it


@dataclass(frozen=True, slots=True)
class SoFar:
    """What the user's earlier turns were about. ``chances``: of all of them together, the most
    probable first, never more than 1 together. ``bond``: see ``cohesion``."""

    chances: tuple[Alternative, ...] = ()
    bond: float = 0.0

    @property
    def prior(self) -> Specialty | None:
        return self.chances[0].specialty if self.chances else None


class ConversationStage:
    """Pure, and a few microseconds. Decides only where ``Features.prior`` is known."""

    def decide(self, features: Features) -> Verdict | Abstain:
        prior = features.prior
        if prior is None:
            return Abstain("no conversation before it")
        kind = kind_of(features.last_user)
        if kind is None:
            return Abstain(f"says enough by itself, after {prior}")
        stays = Alternative(specialty=prior, probability=CONFIDENCE, rule=RULE)
        return Verdict(prior, CONFIDENCE, RULE, (stays,), f"leans on the turn before ({kind})")


SPEC = StageSpec(name="conversation", quick=True, make=lambda _, __: ConversationStage())


def so_far(messages: Sequence[Message], stages: Sequence[Stage]) -> SoFar:
    """What the conversation was about before its last turn: each earlier user turn as ``stages``
    decide it, weighed together, so that one that was misread does not decide alone. Nothing where
    there is no earlier turn, or none says anything.

    ``stages``: those that only look at the prompt, in order; one that raises has no say. Turns
    that are follow-ups themselves are passed over, at most ``MOST_FOLLOW_UPS``. Stages see at most
    ``MOST_TURNS`` turns and ``MOST_CHARACTERS`` characters, and turns before those are not looked
    at, so that a long conversation costs no more than a short one.
    """
    chances: dict[Specialty, float] = {}
    weight, total = 1.0, 0.0
    passed, left = 0, MOST_CHARACTERS
    texts: list[str] = []
    for position in _before_the_last(messages):
        text = messages[position].text
        if len(texts) == MOST_TURNS or passed == MOST_FOLLOW_UPS or left <= 0:
            break
        if kind_of(text) is not None:
            passed += 1
            continue
        text = text[:left]
        left -= len(text)
        texts.append(text)
        said = _said(Features(messages=tuple(messages[: position + 1]), last_user=text), stages)
        if said:
            for each in said:
                known = chances.get(each.specialty, 0.0)
                chances[each.specialty] = known + weight * each.probability
            total += weight
            weight *= FADES
    ranked = sorted(chances, key=chances.__getitem__, reverse=True)
    last = next((m.text for m in reversed(messages) if m.role is Role.USER), "") if texts else ""
    return SoFar(
        tuple(Alternative(specialty=s, probability=chances[s] / total) for s in ranked),
        cohesion(last, texts),
    )


def _said(asked: Features, stages: Sequence[Stage]) -> tuple[Alternative, ...]:
    """What the first stage that decides leaves of each specialty; nothing where none does."""
    for stage in stages:
        try:
            said = stage.decide(asked)
        except Exception:  # noqa: BLE001
            # Somebody else's code, as in the cascade, which asks it too, and reports it.
            continue
        if isinstance(said, Verdict):
            alone = Alternative(specialty=said.specialty, probability=said.confidence)
            return said.alternatives or (alone,)
    return ()


def _before_the_last(messages: Sequence[Message]) -> Iterator[int]:
    """Where the user's turns but the last one are, newest first, found as they are asked for."""
    users = (n for n in reversed(range(len(messages))) if messages[n].role is Role.USER)
    next(users, None)
    return users

"""What the cascade makes of what its stages say of themselves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.types import Message, ModelId, Role, Specialty
from orchestrator.router.base import Abstain, Features, Recording
from orchestrator.router.cascade import Cascade
from orchestrator.router.spec import Placed, StageSpec

CHAT = Specialty("chat")
ASKED = Features.of((Message.of(Role.USER, "hello"),))


class Silent:
    """Abstains, and notes that it was asked."""

    timeout_s = 1.0

    def __init__(self, passing: bool = False) -> None:
        self.asked = 0
        self._said = Abstain("no idea", passing=passing)

    def decide(self, features: Features) -> Abstain:
        self.asked += 1
        return self._said

    async def consult(self, features: Features) -> Abstain:
        return self.decide(features)

    def recording(self, features: Features) -> Recording | None:
        return None


def described(name: str, *, passing: bool = False, **traits: bool) -> Placed:
    spec = StageSpec(name=name, make=lambda _, __: None, **traits)  # type: ignore[arg-type]
    return Placed(spec, Silent(passing))


MEMORY = {"answers": True, "remembers": True}


@pytest.mark.parametrize(
    ("named", "asked"),
    [
        ({"specialty": CHAT}, [1, 1, 0]),
        # Another's answer is no answer of that model; an earlier one of its own is.
        ({"model": ModelId("qwen")}, [1, 0, 0]),
    ],
)
async def test_who_names_who_shall_answer_asks_only_stages_that_have_whole_answers(
    named: dict[str, str], asked: list[int]
) -> None:
    stages = (
        described("memory", **MEMORY),
        described("sums", answers=True),
        described("guess", quick=True),
    )
    outcome = await Cascade(stages, CHAT).recall(replace(ASKED, **named))  # type: ignore[arg-type]
    assert outcome is not None
    assert outcome.answer is None
    assert [placed.stage.asked for placed in stages] == asked


async def test_without_stages_that_have_whole_answers_none_is_asked_for_one() -> None:
    cascade = Cascade((described("guess", quick=True),), CHAT)
    assert await cascade.recall(replace(ASKED, specialty=CHAT)) is None
    assert cascade.recording(ASKED) is None


@pytest.mark.parametrize(
    ("traits", "passing"), [(MEMORY, False), ({"answers": True}, True), ({"quick": True}, True)]
)
async def test_a_memory_that_is_away_for_a_moment_decides_nothing_otherwise(
    traits: dict[str, bool], passing: bool
) -> None:
    outcome = await Cascade((described("away", passing=True, **traits),), CHAT).decide(ASKED)
    assert outcome.passing is passing


def test_only_quick_stages_are_asked_what_a_conversation_was_about() -> None:
    quick = described("quick", quick=True)
    assert Cascade((described("slow"), quick, described("memory", **MEMORY)), CHAT).quick == (
        quick.stage,
    )

"""What the router is trained on: phrases that can all be drawn, and prompts of every label."""

from __future__ import annotations

import random

import pytest

from training.router.labelled import WRITTEN, read
from training.router.phrases.templates import LABELS, expand, phrases, templates


@pytest.mark.parametrize("label", LABELS)
def test_every_template_becomes_text(label: str) -> None:
    chance = random.Random(1)
    for template in templates(label):
        text = expand(template, chance)
        assert text == text.strip() != ""


def test_a_template_with_an_unknown_slot_is_refused() -> None:
    with pytest.raises(ValueError, match="no slot <nothing>"):
        expand("what is <nothing>?", random.Random(1))


@pytest.mark.parametrize("label", LABELS)
def test_phrases_are_different_and_follow_from_the_seed(label: str) -> None:
    made = phrases(label, 100, random.Random(1))
    assert len(set(made)) == len(made) == 100
    assert phrases(label, 100, random.Random(1)) == made
    assert phrases(label, 100, random.Random(2)) != made


def test_prompts_written_by_hand_are_of_every_label_and_of_no_other() -> None:
    rows = read(WRITTEN)
    assert {row.label for row in rows} == set(LABELS)
    assert all(row.prompt.strip() for row in rows)

"""How much a turn is about what was said before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.router.cohesion import cohesion

SCHOOL = "The school bought 23 volleyballs and 15 basketballs for 40 dollars each."


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("How much did the school spend on a basketball?", 2 / 3),
        ("Who wrote Hamlet?", 0.0),
        ("What would that be?", 0.0),
        ("", 0.0),
    ],
)
def test_it_is_the_share_of_words_that_were_said_before(text: str, share: float) -> None:
    assert cohesion(text, [SCHOOL]) == pytest.approx(share)


def test_nothing_before_it_leaves_nothing_to_be_about() -> None:
    assert cohesion("the previous answer", []) == 0.0


def test_words_that_any_turn_has_tie_nothing() -> None:
    assert cohesion("Please tell me what this would make", ["Please tell me what that is"]) == 0.0


def test_text_without_spaces_is_compared_by_pairs_of_characters() -> None:
    assert cohesion("篮球多少钱", ["学校买了篮球"]) == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    "text",
    [
        "Rewrite your previous answer in verse",
        "Schreiben Sie Ihre vorherige Antwort um.",
        "Reescribe tu respuesta anterior",
        "Réécris ta réponse précédente en vers",
        "Reescreva a sua resposta anterior",
        "Перепиши предыдущий ответ стихами",
        "把上面的回答改成诗",
        "前の回答を詩にして",
        "이전 답변을 시로 써 줘",
        "أعد كتابة الجواب السابق",
        "पिछले उत्तर को फिर से लिखो",
    ],
)
def test_who_names_what_was_said_before_is_wholly_about_it(text: str) -> None:
    assert cohesion(text, ["anything"]) == 1.0


@given(st.text(), st.lists(st.text(), max_size=4))
def test_it_is_a_share_whatever_is_said(text: str, earlier: list[str]) -> None:
    assert 0.0 <= cohesion(text, earlier) <= 1.0

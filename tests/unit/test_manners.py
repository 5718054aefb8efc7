"""What is settled where a client did not say, and what of its own word stays."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import InternalError
from mesh.manners import DEFAULT_SAMPLING, complete, mannered, settled, told
from mesh.types import (
    Decision,
    Manner,
    Message,
    Request,
    RequestId,
    Role,
    SaidSampling,
    Sampling,
    Specialty,
)

COLD = Manner(sampling=settled(SaidSampling(temperature=0.0)), system="Answer with the result.")
MATH = Decision(specialty=Specialty("math"), stage="rules", rule=None, confidence=1.0, manner=COLD)


def _maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


SAID = st.builds(
    SaidSampling,
    max_tokens=_maybe(st.integers(1, 100)),
    temperature=_maybe(st.floats(0, 5)),
    top_p=_maybe(st.floats(0.01, 1)),
    top_k=_maybe(st.integers(0, 100)),
    min_p=_maybe(st.floats(0, 1)),
    repetition_penalty=_maybe(st.floats(0.1, 2)),
    seed=_maybe(st.integers(0, 2**32 - 1)),
    stop=st.tuples(st.text(min_size=1, max_size=3)) | st.just(()),
    grammar=_maybe(st.just('root ::= "a"')),
)
DEFAULTS = st.builds(settled, SAID)


@given(SAID, DEFAULTS)
def test_what_was_said_is_never_overridden_and_nothing_stays_open(
    said: SaidSampling, default: Sampling
) -> None:
    found = settled(said, default)
    for field in fields(SaidSampling):
        own = getattr(said, field.name)
        if own is not None:
            assert getattr(found, field.name) == own, field.name
        elif field.name != "seed" and field.name not in ("grammar", "json_schema"):
            assert getattr(found, field.name) == getattr(default, field.name), field.name
    assert found.seed == said.seed, "a fresh seed is the node's to make"


@given(SAID, DEFAULTS, DEFAULTS)
def test_settling_twice_changes_nothing(
    said: SaidSampling, default: Sampling, other: Sampling
) -> None:
    once = settled(said, default)
    assert settled(once, default) == once
    # Elsewhere, with other settings: only a limit that nobody had set may be set there.
    assert replace(settled(once, other), max_tokens=once.max_tokens) == once


def test_what_is_complete_but_for_its_limit_is_limited_as_its_specialty_is() -> None:
    said = replace(DEFAULT_SAMPLING, seed=7, stop=("x",), json_schema="{}")
    limited = replace(COLD.sampling, max_tokens=50)
    assert settled(said, limited) == replace(said, max_tokens=50)
    assert settled(said, COLD.sampling) is said, "there is nothing to settle"
    own = replace(said, max_tokens=9)
    assert settled(own, limited) is own


def test_a_form_that_was_asked_for_goes_along() -> None:
    for form in ({"json_schema": "{}"}, {"grammar": 'root ::= "a"'}):
        found = settled(SaidSampling(**form))
        assert {name: getattr(found, name) for name in form} == form


def _request(*turns: tuple[Role, str], **given: Any) -> Request:
    messages = tuple(Message.of(role, text) for role, text in turns)
    return Request(id=RequestId("0" * 32), messages=messages, **given)


def test_a_specialtys_system_text_stands_before_all_turns_alike() -> None:
    first = mannered(_request((Role.USER, "2 + x = 3")), MATH)
    later = mannered(
        _request((Role.USER, "2 + x = 3"), (Role.ASSISTANT, "x = 1"), (Role.USER, "why?")), MATH
    )
    assert first.messages[0] == Message.of(Role.SYSTEM, "Answer with the result.")
    assert later.messages[: len(first.messages)] == first.messages
    assert mannered(first, MATH) == first, "not twice"


def test_a_clients_own_system_text_wins() -> None:
    own = _request((Role.SYSTEM, "Be a pirate."), (Role.USER, "hi"))
    assert mannered(own, MATH).messages == own.messages
    shown = told(own, MATH).manner
    assert shown is not None
    assert shown.system == ""


def test_what_is_shown_of_a_request_is_how_it_is_answered() -> None:
    request = _request((Role.USER, "hi"), sampling=SaidSampling(top_k=5))
    shown = told(request, MATH).manner
    assert shown is not None
    assert shown.sampling == mannered(request, MATH).sampling == replace(COLD.sampling, top_k=5)
    assert shown.system == COLD.system


def test_a_decision_without_a_manner_draws_as_the_mesh_does() -> None:
    bare = replace(MATH, manner=None)
    assert mannered(_request((Role.USER, "hi")), bare).sampling == DEFAULT_SAMPLING
    assert DEFAULT_SAMPLING.temperature > 0
    assert DEFAULT_SAMPLING.max_tokens is None


def test_what_is_not_settled_goes_to_no_node() -> None:
    with pytest.raises(InternalError):
        complete(SaidSampling(temperature=0.0))

"""Who may answer for whom, and how a refusal of that kind leaves."""

from __future__ import annotations

import grpc
import pytest

from mesh.errors import CannotAnswer, NotServed, from_code
from mesh.fleet.work import chain
from mesh.protobuf.errors import status_of
from mesh.types import Specialty

CHAT = Specialty("chat")


@pytest.mark.parametrize(
    ("specialty", "substitutes", "fallback", "wanted"),
    [
        ("calculator", {"calculator": "math"}, CHAT, ("math", "chat")),
        ("calculator", {"calculator": "units", "units": "math"}, CHAT, ("units", "math", "chat")),
        ("code", {"calculator": "math"}, CHAT, ("chat",)),
        ("code", {}, None, ()),
        ("calculator", {"calculator": "math"}, None, ("math",)),
        ("calculator", {"calculator": "chat"}, CHAT, ("chat",)),
        ("a", {"a": "b", "b": "a"}, CHAT, ("b", "chat")),
        ("a", {"a": "a"}, CHAT, ("chat",)),
        ("a", {"a": "b", "b": "c", "c": "b"}, None, ("b", "c")),
        # It is its own last resort: nobody named it, so that its absence is no wrong name.
        ("chat", {}, CHAT, ("chat",)),
    ],
)
def test_a_chain_goes_from_one_substitute_to_the_next_and_ends(
    specialty: str, substitutes: dict[str, str], fallback: Specialty | None, wanted: tuple[str, ...]
) -> None:
    assert chain(Specialty(specialty), substitutes, fallback) == wanted


def test_a_model_that_cannot_answer_is_told_from_one_that_is_full_or_broken() -> None:
    error = from_code("cannot_answer", "not plain arithmetic")
    assert isinstance(error, CannotAnswer)
    assert isinstance(error, NotServed)
    assert status_of(error) is grpc.StatusCode.NOT_FOUND
    assert error.exit_code == 3

"""A request is refused with one line that names what is wrong; a good one passes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mesh.errors import InvalidRequest
from mesh.types import Message, Role, Sampling
from mesh.validation import (
    MAX_MESSAGES,
    check_model_id,
    check_request,
    check_request_id,
    check_specialty,
)

USER = Message.of(Role.USER, "hello")


def said(*contents: tuple[Role, str]) -> list[Message]:
    return [Message.of(role, content) for role, content in contents]


def test_ordinary_requests_pass() -> None:
    check_request([USER], Sampling())
    check_request(
        said((Role.SYSTEM, ""), (Role.USER, "a"), (Role.ASSISTANT, ""), (Role.USER, " b ")),
        Sampling(
            max_tokens=1,
            temperature=2.0,
            top_p=0.1,
            top_k=40,
            min_p=1.0,
            repetition_penalty=1.3,
            seed=2**32 - 1,
            stop=("\n", "ü" * 128),
        ),
        timeout_s=0.001,
    )


@pytest.mark.parametrize(
    ("messages", "names"),
    [
        ([], "no messages"),
        ([Message.of(Role.USER, "")], "the prompt is empty"),
        ([Message.of(Role.USER, " \n\t\u3000")], "the prompt is empty"),
        (said((Role.USER, "a"), (Role.ASSISTANT, "b")), "must be from the user"),
        (said((Role.USER, "a"), (Role.SYSTEM, "b")), "must be from the user"),
        ([Message.of("wizard", "a"), USER], "message 1 has the unknown role 'wizard'"),  # type: ignore[arg-type]
        ([Message.of(Role.USER, "a\0b")], "NUL"),
        ([Message.of(Role.USER, "a\ud800b")], "not valid Unicode"),
        ([USER] * (MAX_MESSAGES + 1), "too many"),
    ],
)
def test_bad_messages_are_refused(messages: list[Message], names: str) -> None:
    with pytest.raises(InvalidRequest, match=names):
        check_request(messages, Sampling())


def test_the_size_limit_counts_bytes_of_all_messages() -> None:
    fits = said((Role.SYSTEM, "ü" * 10), (Role.USER, "b" * 80))
    check_request(fits, Sampling(), max_bytes=100)
    with pytest.raises(InvalidRequest, match="101 bytes; the limit is 100 bytes"):
        check_request([*fits, Message.of(Role.USER, "c")], Sampling(), max_bytes=100)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"max_tokens": 0}, "max_tokens must be 1 to"),
        ({"max_tokens": -5}, "not -5"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 5.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.01}, "top_p"),
        ({"top_p": math.nan}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 2**31}, "top_k"),
        ({"min_p": -0.01}, "min_p"),
        ({"min_p": 1.5}, "min_p"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"repetition_penalty": 2.5}, "repetition_penalty"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"stop": ("a",) * 17}, "17 stop strings"),
        ({"stop": ("",)}, "a stop string is empty"),
        ({"stop": ("ü" * 129,)}, "longer than 256 bytes"),
        ({"stop": ("\0",)}, "NUL"),
        ({"stop": ("\udfff",)}, "lone surrogate"),
    ],
)
def test_bad_sampling_is_refused_by_name(given: dict[str, Any], names: str) -> None:
    with pytest.raises(InvalidRequest, match=names):
        check_request([USER], Sampling(**given))


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, math.nan, math.inf, 1e300])
def test_a_timeout_is_a_positive_number_of_seconds(timeout_s: float) -> None:
    with pytest.raises(InvalidRequest, match="timeout_s"):
        check_request([USER], Sampling(), timeout_s=timeout_s)


def test_ids_and_names_are_checked() -> None:
    assert check_request_id("0" * 32) == "0" * 32
    assert check_specialty("math-2") == "math-2"
    for bad in ("", "x", "A" * 32, "0" * 31, "0" * 32 + "\n"):
        with pytest.raises(InvalidRequest, match="request_id"):
            check_request_id(bad)
    for bad in ("Math", "2math", "a" * 33, "a b"):
        with pytest.raises(InvalidRequest, match="specialty"):
            check_specialty(bad)
    with pytest.raises(InvalidRequest, match="model"):
        check_model_id("a" * 513)

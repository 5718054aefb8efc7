"""Options by name: which values are of a kind, and what the error says of those that are not."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from mesh.client.options import (
    FLAG,
    LARGEST,
    NUMBER,
    PRIORITY,
    SCHEMA,
    TEXT,
    TEXTS,
    WHOLE,
    Kind,
    check_known,
    checked,
    checked_options,
    shown,
)
from mesh.errors import ConfigError, InvalidRequest
from mesh.types import Priority


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("says nothing")


@pytest.mark.parametrize(
    ("kind", "value", "plain"),
    [
        (FLAG, True, True),
        (WHOLE, 3, 3),
        (WHOLE, np.int32(3), 3),
        (WHOLE, LARGEST - 1, LARGEST - 1),
        (WHOLE, 1 - LARGEST, 1 - LARGEST),
        (NUMBER, 2, 2.0),
        (NUMBER, np.float32(0.5), 0.5),
        (NUMBER, Fraction(1, 4), 0.25),
        (TEXT, "a", "a"),
        (TEXTS, "a", "a"),
        (TEXTS, ["a", "b"], ["a", "b"]),
        (TEXTS, {"a"}, {"a"}),
        (TEXTS, frozenset("a"), frozenset("a")),
        (TEXTS, (), ()),
        (SCHEMA, "{}", "{}"),
        (SCHEMA, {}, {}),
        (PRIORITY, "high", "high"),
    ],
)
def test_a_value_of_its_kind_becomes_pythons_own(kind: Kind, value: Any, plain: Any) -> None:
    found = checked("x", value, kind)
    assert found == plain
    assert type(found) is type(plain)


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (FLAG, 1, "x must be True or False, not int '1'"),
        (WHOLE, True, "x must be a whole number, not bool 'True'"),
        (WHOLE, 1.0, "x must be a whole number, not float '1.0'"),
        (NUMBER, False, "x must be a number, not bool 'False'"),
        (NUMBER, "1", "x must be a number, not str '1'"),
        (TEXT, b"a", "x must be a str, not bytes \"b'a'\""),
        (TEXTS, ["a", 1], "x must be a str, or several, not list \"['a', 1]\""),
        (TEXTS, {"a": "b"}, "x must be a str, or several, not dict \"{'a': 'b'}\""),
        (SCHEMA, [], "x must be a dict, or JSON as a str, not list '[]'"),
        (TEXT, None, "x must be a str, not None"),
        (TEXT, Mute(), "x must be a str, not Mute ''"),
        (PRIORITY, 1, f"x must be one of {', '.join(Priority)}, not int '1'"),
        (TEXT, 10**45, f"x must be a str, not int '1{'0' * 39}'"),
        (WHOLE, LARGEST, "x is a number beyond all limits"),
        (WHOLE, -LARGEST, "x is a number beyond all limits"),
        (NUMBER, 10**400, "x is a number beyond all limits"),
    ],
)
def test_what_is_not_of_its_kind_is_named_with_what_would_be(
    kind: Kind, value: Any, says: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        checked("x", value, kind)
    assert raised.value.message == says


def test_none_will_do_only_where_it_is_optional() -> None:
    assert checked("x", None, TEXT, optional=True) is None
    with pytest.raises(ConfigError, match="x must be a str or None, not int '3'"):
        checked("x", 3, TEXT, optional=True, error=ConfigError)


def test_what_cannot_say_what_it_is_shows_nothing() -> None:
    assert shown(Mute()) == ""
    assert shown(10**5_000) == "", "more digits than Python writes"
    assert shown("a" * 50) == "a" * 40
    assert shown("a" * 50, 45) == "a" * 45


@pytest.mark.parametrize(
    ("name", "known", "says"),
    [
        ("sed", ("seed", "stop"), "unknown option 'sed'; did you mean 'seed'?"),
        ("SEED", ("seed", "stop"), "unknown option 'SEED'; did you mean 'seed'?"),
        ("xyz", ("stop", "seed"), "unknown option 'xyz'; there are seed, stop"),
        ("seab", ("seed", "stop"), "unknown option 'seab'; there are seed, stop"),
        ("xyz", (), "unknown option 'xyz'; there are none"),
        ("y" * 99, ("stop",), f"unknown option '{'y' * 60}'; there are stop"),
    ],
)
def test_an_unknown_name_is_answered_with_the_one_that_was_meant(
    name: str, known: tuple[str, ...], says: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        check_known([*known, name], known, "option")
    assert raised.value.message == says


def test_a_name_too_long_to_show_is_held_against_the_known_by_what_is_shown_of_it() -> None:
    known = "a" * 40
    with pytest.raises(InvalidRequest, match=f"did you mean '{known}'"):
        check_known([known + "b" * 5_000], [known], "option")


def test_options_are_checked_each_by_its_own_kind() -> None:
    kinds = {"seed": WHOLE, "stop": TEXTS}
    given = {"seed": np.int64(7), "stop": None}
    assert checked_options(given, kinds, ("stop",)) == {"seed": 7, "stop": None}
    with pytest.raises(InvalidRequest, match="seed must be a whole number, not None"):
        checked_options({"seed": None}, kinds, ("stop",))
    with pytest.raises(ConfigError, match="seed must be a whole number"):
        checked_options({"seed": "7"}, kinds, (), ConfigError)
    with pytest.raises(ConfigError, match="unknown option 'sead'; did you mean 'seed'"):
        checked_options({"sead": 7}, kinds, (), ConfigError)

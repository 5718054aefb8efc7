"""Options by name, as a person may have written them: what is unknown or of another type is refused
where the call is made, and the error says which it is and what would be right. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from mesh.errors import InvalidRequest, MeshError
from mesh.types import Priority


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """NumPy's are, too; ``True`` is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_texts(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, Sequence | set | frozenset) and all(map(is_text, value))


def is_schema(value: Any) -> bool:
    return isinstance(value, str | Mapping)


# In the words of an error, and what tells.
FLAG = ("True or False", is_flag)
WHOLE = ("a whole number", is_whole)
NUMBER = ("a number", is_number)
TEXT = ("a str", is_text)
TEXTS = ("a str, or several", is_texts)
SCHEMA = ("a dict, or JSON as a str", is_schema)
PRIORITY = (f"one of {', '.join(Priority)}", is_text)

Kind = tuple[str, Callable[[Any], bool]]


def check_known(
    given: Collection[str],
    known: Collection[str],
    what: str,
    error: type[MeshError] = InvalidRequest,
) -> None:
    """Raises ``error`` for the first that is not known, with the name that was probably meant.
    ``what``: of which they are, "option"."""
    for name in given:
        if name in known:
            continue
        near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.6)
        remedy = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(sorted(known))}"
        raise error(f"unknown {what} {str(name)[:60]!r}; {remedy}")


def check_kind(
    name: str,
    value: Any,
    kind: Kind,
    *,
    optional: bool = False,
    error: type[MeshError] = InvalidRequest,
) -> None:
    """Raises ``error``. ``optional``: None will do."""
    words, holds = kind
    if (value is None and optional) or holds(value):
        return
    shown = "None" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
    raise error(f"{name} must be {words}{' or None' if optional else ''}, not {shown}")


def check_options(
    given: Mapping[str, Any], kinds: Mapping[str, Kind], optional: Collection[str]
) -> None:
    """Raises ``InvalidRequest``. ``kinds``: of all that there are. ``optional``: may be None."""
    check_known(given, kinds, "option")
    for name, value in given.items():
        check_kind(name, value, kinds[name], optional=name in optional)

"""Options by name, as a person may have written them: what is unknown or of another type is refused
where the call is made, and the error says which it is and what would be right. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from mesh.errors import InvalidRequest, MeshError
from mesh.types import Priority

LARGEST = 2**64


def _as_it_is(value: Any) -> Any:
    return value


def _whole(value: Any) -> int:
    found = int(value)
    if abs(found) >= LARGEST:
        raise OverflowError
    return found


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


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value has to be. ``words``: of an error; ``holds`` tells; ``plain`` makes Python's own
    of another library's, and raises ``OverflowError`` where it is too large for that."""

    words: str
    holds: Callable[[Any], bool]
    plain: Callable[[Any], Any] = _as_it_is


FLAG = Kind("True or False", is_flag)
WHOLE = Kind("a whole number", is_whole, _whole)
NUMBER = Kind("a number", is_number, float)
TEXT = Kind("a str", is_text)
TEXTS = Kind("a str, or several", is_texts)
SCHEMA = Kind("a dict, or JSON as a str", is_schema)
PRIORITY = Kind(f"one of {', '.join(Priority)}", is_text)


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
        raise error(f"unknown {what} {shown(name, 60)!r}; {_meant(shown(name, 60), known)}")


def _meant(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    return f"there are {', '.join(sorted(known))}" if known else "there are none"


def shown(value: Any, most: int = 40) -> str:
    """The beginning of what a value says of itself; "" when it cannot: a number may have too many
    digits, and what a program of somebody's has made may do anything."""
    try:
        return str(value)[:most]
    except Exception:  # noqa: BLE001 - what it raises is not known
        return ""


def checked(
    name: str,
    value: Any,
    kind: Kind,
    *,
    optional: bool = False,
    error: type[MeshError] = InvalidRequest,
) -> Any:
    """The value, as one of Python's own types. Raises ``error``. ``optional``: None will do."""
    if value is None and optional:
        return None
    if not kind.holds(value):
        said = "None" if value is None else f"{type(value).__name__} {shown(value)!r}"
        raise error(f"{name} must be {kind.words}{' or None' if optional else ''}, not {said}")
    try:
        return kind.plain(value)
    except OverflowError:
        raise error(f"{name} is a number beyond all limits") from None


def checked_options(
    given: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    optional: Collection[str],
    error: type[MeshError] = InvalidRequest,
) -> dict[str, Any]:
    """The options, as ``checked`` has each. Raises ``error``. ``kinds``: of all that there are.
    ``optional``: may be None."""
    check_known(given, kinds, "option", error)
    return {
        name: checked(name, value, kinds[name], optional=name in optional, error=error)
        for name, value in given.items()
    }

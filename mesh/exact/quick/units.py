"""Kind ``units``: conversions between units of measure, temperatures and lengths of time.

The factors are ``pint``'s, in exact fractions. Loading its definitions takes about half a second,
so ``load`` is there to be called in a thread beforehand; ``loaded`` says whether that is done.
Each unit is asked for once, then: a question of ``pint`` takes a quarter of a millisecond.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from mesh.exact.base import UNITS, Declined, Exact, Problem
from mesh.exact.quick.showing import decimals, shown
from mesh.exact.quick.unit_names import (
    CELSIUS,
    FAHRENHEIT,
    KELVIN,
    NAMES,
    Quantity,
    Unit,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion(Problem):
    """The sum of ``source`` in ``target``, units as in ``unit_names``. ``rule``: no number was
    named, so that the answer says how much one of them is."""

    kind: str = "units"
    source: tuple[tuple[Fraction, Unit], ...]
    target: Unit
    rule: bool = False


def solve(problem: Conversion) -> Exact | Declined:
    """Loads the definitions on first use."""
    target, units = problem.target, [unit for _, unit in problem.source]
    quantity = units[0].quantity
    if any(unit.quantity is not quantity for unit in units) or target.quantity is not quantity:
        return Declined(note=_mismatch(units[0], target))
    if quantity is Quantity.TEMPERATURE:
        return _temperature(problem)
    value = sum(
        (amount * factor(unit.pint, target.pint) for amount, unit in problem.source), Fraction(0)
    )
    exact = quantity is not Quantity.ANGLE  # pi
    if problem.rule:
        return _exact(problem, _rule(units[0], target, value, exact=exact))
    text = _counted(value, target, exact=exact)
    if any(unit.named for unit in units):
        text += f" ({_read(problem.source)})"
    return _exact(problem, text)


_LOCK = threading.Lock()
_registry: Any = None
_sizes: dict[str, Fraction] = {}  # by pint's words: in the first unit of the same quantity


def load() -> None:
    """Reads the definitions of units; about half a second the first time. Thread-safe."""
    global _registry
    with _LOCK:
        if _registry is None:
            import pint

            registry: Any = pint.UnitRegistry(non_int_type=Fraction)
            first: dict[Quantity, str] = {}
            for unit in NAMES.values():
                if unit.quantity is not Quantity.TEMPERATURE and unit.pint not in _sizes:
                    other = first.setdefault(unit.quantity, unit.pint)
                    _sizes[unit.pint] = _asked(registry, unit.pint, other)
            _registry = registry


def loaded() -> bool:
    return _registry is not None


@lru_cache(maxsize=1024)
def factor(source: str, target: str) -> Fraction:
    """How many ``target`` one ``source`` is, as an exact fraction. Both in ``pint``'s words, and of
    one quantity."""
    load()
    return _sizes[source] / _sizes[target]


def _asked(registry: Any, source: str, target: str) -> Fraction:
    one, other = registry.parse_expression(source), registry.parse_expression(target)
    return Fraction(one.to(other).magnitude) / Fraction(other.magnitude)


def _exact(problem: Conversion, text: str) -> Exact:
    note = f"read as {_read(problem.source)} in {problem.target.many}"
    return Exact(text=text, kind=problem.kind, specialty=UNITS, note=note)


def _mismatch(source: Unit, target: Unit) -> str:
    kinds = {source.quantity, target.quantity}
    if kinds == {Quantity.TIME, Quantity.CALENDAR}:
        return "months and years have no fixed number of days"
    return (
        f"{source.many} measure {source.quantity} and {target.many} {target.quantity}, which do "
        "not convert"
    )


def _counted(value: Fraction, unit: Unit, *, exact: bool = True) -> str:
    text = shown(value, exact=exact, fractions=False)
    return f"{text} {unit.one if value == 1 else unit.many}"


def _read(source: tuple[tuple[Fraction, Unit], ...]) -> str:
    return " ".join(
        f"{decimals(amount) or amount} {unit.one if amount == 1 else unit.many}"
        for amount, unit in source
    )


def _rule(source: Unit, target: Unit, value: Fraction, *, exact: bool) -> str:
    said = _counted(value, target, exact=exact)
    text = f"1 {source.one} {'is' if said.startswith('about') else '='} {said}"
    back = shown(1 / value, exact=exact)
    if said.startswith("about") and "about" not in back:
        text += f" (1 {target.one} = {_counted(1 / value, source)})"
    return text


_ABSOLUTE_ZERO = {
    CELSIUS: Fraction("-273.15"),
    FAHRENHEIT: Fraction("-459.67"),
    KELVIN: Fraction(0),
}
_FORMULAS = {
    (CELSIUS, FAHRENHEIT): "°F = °C × 9/5 + 32",
    (FAHRENHEIT, CELSIUS): "°C = (°F - 32) × 5/9",
    (CELSIUS, KELVIN): "K = °C + 273.15",
    (KELVIN, CELSIUS): "°C = K - 273.15",
    (FAHRENHEIT, KELVIN): "K = (°F - 32) × 5/9 + 273.15",
    (KELVIN, FAHRENHEIT): "°F = (K - 273.15) × 9/5 + 32",
}


def _temperature(problem: Conversion) -> Exact | Declined:
    if len(problem.source) != 1:
        return Declined(note="temperatures do not add up")
    amount, unit = problem.source[0]
    if problem.rule:
        return _exact(problem, _FORMULAS[unit, problem.target])
    if amount < _ABSOLUTE_ZERO[unit]:
        return Declined(note="that is below absolute zero")
    load()
    converted = _registry.Quantity(amount, unit.pint).to(problem.target.pint).magnitude
    return _exact(problem, f"{shown(Fraction(converted), fractions=False)} {problem.target.one}")

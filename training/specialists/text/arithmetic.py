"""Worked arithmetic: each operation in steps small enough for a tiny model to get right.

A model of a few million weights cannot carry across three columns in one go, so the working
adds, takes away or multiplies one decimal place at a time, much as a person does in the head:
`17 + 25 = 17 + 20 + 5 = 37 + 5 = 42`.
"""

from __future__ import annotations


def places(number: int) -> list[int]:
    """Split into non-zero decimal places, largest first: 405 -> [400, 5]; 0 -> [0]."""
    digits = str(number)
    parts = [int(digit) * 10 ** (len(digits) - 1 - i) for i, digit in enumerate(digits)]
    return [part for part in parts if part] or [0]


def add(left: int, right: int) -> tuple[str, int]:
    """Working and result of left + right; the right number is taken apart."""
    return f"{left} + {right} = " + _chain(left, places(right), "+"), left + right


def subtract(left: int, right: int) -> tuple[str, int]:
    """Working and result of left - right, where right is not the larger."""
    return f"{left} - {right} = " + _chain(left, places(right), "-"), left - right


def multiply(left: int, right: int) -> tuple[str, int]:
    """Working and result of left * right, where one of them has a single non-zero digit."""
    large, small = (left, right) if len(places(left)) >= len(places(right)) else (right, left)
    product = left * right
    parts = places(large)
    head = f"{left} * {right} = "
    if len(parts) == 1:
        return f"{head}{product}", product
    spelled = " + ".join(f"{part} * {small}" for part in parts)
    products = [part * small for part in parts]
    total = products[0]
    steps = [spelled, " + ".join(map(str, products))]
    for i, addend in enumerate(products[1:], start=2):
        rest = products[i:]
        # A two-digit addend is itself added a place at a time.
        for j, piece in enumerate(inner := places(addend)):
            if len(inner) > 1 and j == 0:
                steps.append(" + ".join(map(str, [total, *inner, *rest])))
            total += piece
            steps.append(" + ".join(map(str, [total, *inner[j + 1 :], *rest])))
    return head + " = ".join(steps), product


def divide(left: int, right: int) -> tuple[str, int]:
    """Working and result of left / right, where it goes in exactly and right is one digit."""
    quotient = left // right
    parts = places(quotient)
    head = f"{left} / {right} = "
    if len(parts) == 1:
        return f"{head}{quotient}", quotient
    taken = [part * right for part in parts]
    over = " + ".join(f"{value} / {right}" for value in taken)
    return f"{head}{over} = {' + '.join(map(str, parts))} = {quotient}", quotient


def _chain(start: int, parts: list[int], sign: str) -> str:
    """Apply parts to start one by one, showing what is left to do each time."""
    steps = [] if len(parts) == 1 else [f" {sign} ".join(map(str, [start, *parts]))]
    total = start
    for i, part in enumerate(parts, start=1):
        total = total + part if sign == "+" else total - part
        steps.append(f" {sign} ".join(map(str, [total, *parts[i:]])))
    return " = ".join(steps)

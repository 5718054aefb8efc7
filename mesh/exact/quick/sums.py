"""Arithmetic in figures and in English: text to an expression, whole or not at all.

Precedence is the usual one; operators of one rank go from left to right. What people or
calculators read in more than one way is not read: ``-2^2``, ``2^3^2``, ``6/2(1+2)``, ``4^1/2``,
"the square root of 16 plus 9", "80 plus 15%", a remainder inside a sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from mesh.exact.quick.arithmetic import Expression, Factorial, Negative, Number, Operation, Sign
from mesh.exact.quick.numerals import ORDINALS, Numeral, Token, numeral

_MOST_DEPTH = 16

# By their first word.
_SIGNS: dict[str, tuple[tuple[tuple[str, ...], Sign], ...]] = {
    "+": ((("+",), "+"),),
    "plus": ((("plus",), "+"),),
    "added": ((("added", "to"), "+"),),
    "-": ((("-",), "-"),),
    "minus": ((("minus",), "-"),),
    "*": ((("*",), "*"),),
    "×": ((("×",), "*"),),
    "x": ((("x",), "*"),),
    "times": ((("times",), "*"),),
    "multiplied": ((("multiplied", "by"), "*"),),
    "/": ((("/",), "/"),),
    "÷": ((("÷",), "/"),),
    "divided": ((("divided", "by"), "/"), (("divided", "buy"), "/")),
}
_ROOTS = {"square": 2, "cube": 3, "cubed": 3, "squared": 2} | {
    word: value for word, value in ORDINALS.items() if 3 <= value <= 10
}
_POWERS = {"squared": 2, "cubed": 3}


@lru_cache(maxsize=256)
def _by_first(choices: tuple[str, ...]) -> dict[str, list[tuple[str, ...]]]:
    found: dict[str, list[tuple[str, ...]]] = {}
    for choice in choices:
        words = tuple(choice.split())
        found.setdefault(words[0], []).append(words)
    return found


class Unread(Exception):
    """The text is no whole expression, or one with two readings."""


class Reader:
    """Reads tokens from left to right. Every method either takes what it is named for or raises
    ``Unread``; ``take`` and ``peek`` only look."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.texts = tuple(token.text for token in tokens)
        self.restart()

    def restart(self) -> None:
        self.place = 0
        self._depth = 0
        self._tight = False

    def peek(self, *words: str) -> bool:
        return self.texts[self.place : self.place + len(words)] == words

    def take(self, *words: str) -> bool:
        end = self.place + len(words)
        if self.texts[self.place : end] == words:
            self.place = end
            return True
        return False

    def take_any(self, *choices: str) -> bool:
        """The first of ``choices``, each some words, that stands here."""
        return not self.ended and any(
            self.take(*words) for words in _by_first(choices).get(self.texts[self.place], ())
        )

    @property
    def ended(self) -> bool:
        return self.place >= len(self.texts)

    def end(self) -> None:
        if not self.ended:
            raise Unread

    def number(self, *, joins: bool = True) -> Numeral:
        found = numeral(self.tokens, self.place, joins=joins)
        if found is None:
            raise Unread
        self.place = found.end
        return found

    def expression(self) -> Expression:
        """Sums of products of powers. Blanks must not say otherwise than precedence: ``1+2 * 3``
        and ``12 / 3/4`` mean one thing to the rules, another to the eye, and are not read."""
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise Unread
        left, loose = self._product()
        tight = False
        while (sign := self._sign("+", "-")) is not None:
            tight = tight or self._tight
            # "100 minus half" takes away 50 as often as a half.
            if self.peek("half") and (self.place + 1 == len(self.texts)):
                raise Unread
            right, loosely = self._product()
            loose = loose or loosely
            left = Operation(sign, left, right)
        if tight and loose:
            raise Unread
        self._depth -= 1
        return left

    def operand(self, *, joins: bool = True) -> Expression:
        """A number, perhaps negative, or an expression in parentheses; "squared" may follow."""
        if self.take_any("-", "minus", "negative"):
            inner = self._atom(joins=joins)
            if self._power_follows():
                raise Unread  # -2^2 is -4 to one reader and 4 to the other
            return Negative(inner)
        return self._power(self._atom(joins=joins))

    def simple(self, *, joins: bool = True) -> Expression:
        """As ``operand``, but with no power or factorial behind it: "twice three squared", "the sum
        of 3 and 4 squared" and "the square root of 4 factorial" have two readings each."""
        negative = self.take_any("-", "minus", "negative")
        inner = self._bare(joins=joins)
        if self._power_follows() or self.peek("!") or self.peek("factorial"):
            raise Unread
        return Negative(inner) if negative else inner

    def items(self, *between: str) -> list[Expression]:
        """Operands with one of ``between`` or a comma, "and", or both, between each two."""
        found = [self._item()]
        while True:
            comma = self.take(",")
            if not (self.take_any("and", "&") or comma or self.take_any(*between)):
                return found
            found.append(self._item())

    def _item(self) -> Expression:
        # "the sum of a hundred and five" is one number or two.
        joined = numeral(self.tokens, self.place)
        apart = numeral(self.tokens, self.place, joins=False)
        if joined is not None and (apart is None or joined.end != apart.end):
            raise Unread
        return self.simple(joins=False)

    def _product(self) -> tuple[Expression, bool]:
        """And whether an operator in it has blanks around it, or is a word."""
        left = self.operand()
        loose = divided = False
        while (sign := self._sign("*", "/")) is not None:
            if divided and self._tight:
                raise Unread
            loose = loose or not self._tight
            divided = divided or (sign == "/" and not self._tight)
            left = Operation(sign, left, self.operand())
        return left, loose

    def _sign(self, *wanted: Sign) -> Sign | None:
        """``_tight`` says afterwards whether it was a sign without a blank on either side."""
        if self.ended:
            return None
        for words, sign in _SIGNS.get(self.texts[self.place], ()):
            if sign in wanted and self.take(*words):
                ahead = self.tokens[self.place - 1 : self.place + 1]
                self._tight = (
                    len(words[0]) == 1 and len(ahead) == 2 and not any(t.spaced for t in ahead)
                )
                return sign
        return None

    def _power_follows(self) -> bool:
        return not self.ended and (
            self.texts[self.place] in ("^", "**", "squared", "cubed", "raised")
            or self.peek("to", "the")
        )

    def _power(self, base: Expression) -> Expression:
        if self.take_any("^", "**"):
            bare = not self.peek("(")
            negative = self.take("-")
            exponent = self._bare()
            if self.peek("!") or self._power_follows():
                raise Unread
            # 4^1/2 is a quotient by precedence, and a root to many who type it.
            if bare and self.peek("/") and not self.tokens[self.place].spaced:
                raise Unread
            return Operation("^", base, Negative(exponent) if negative else exponent)
        for word, exponent_value in _POWERS.items():
            if self.take(word):
                if self._power_follows() or self.peek("!"):
                    raise Unread
                return Operation("^", base, Number(Fraction(exponent_value)))
        if self.take("raised"):
            return self._worded_power(base)
        if self.peek("to", "the"):
            return self._worded_power(base)
        return base

    def _worded_power(self, base: Expression) -> Expression:
        """To the power of 3, to the 6th, to the third power: nothing may follow, since "2 to the
        power of 3 plus 1" has two readings."""
        if not self.take("to"):
            raise Unread
        self.take("the")
        if self.take("power"):
            self.take("of")
            exponent = self.operand()
        else:
            exponent = Number(Fraction(self._ordinal()))
            self.take("power")
        self.end()
        return Operation("^", base, exponent)

    def _ordinal(self) -> int:
        if self.ended:
            raise Unread
        word = self.tokens[self.place].text
        self.place += 1
        if word in ORDINALS:
            return ORDINALS[word]
        if word.isdigit() and not self.ended:
            suffix = self.tokens[self.place]
            if suffix.text in ("th", "st", "nd", "rd") and not suffix.spaced:
                self.place += 1
                return int(word)
        raise Unread

    def _atom(self, *, joins: bool = True) -> Expression:
        inner = self._root_sign() or self._bare(joins=joins)
        if self.take("!") or self.take("factorial"):
            if self.peek("!") or self.peek("factorial"):
                raise Unread  # 5!! is the double factorial
            return Factorial(inner)
        return inner

    def _root_sign(self) -> Expression | None:
        """√(16), sqrt(16), and √16 where nothing follows: how far the bar went is lost in text."""
        if not self.take_any("√", "sqrt"):
            return None
        bare = not self.peek("(")
        inner = self._bare()
        if bare and not self.ended:
            raise Unread
        return Operation("root", inner, Number(Fraction(2)))

    def _bare(self, *, joins: bool = True) -> Expression:
        if self.take("("):
            inner = self.expression()
            if not self.take(")") or self.peek("("):
                raise Unread
            if not self.ended and self.tokens[self.place].is_number:
                raise Unread
            return inner
        value = Number(self.number(joins=joins).value)
        if self.peek("("):
            raise Unread  # 2(3) and 6/2(1+2)
        return value


def root_degree(reader: Reader) -> int | None:
    """ "square root of", "cube root of", "fourth root of", with or without "the"."""
    if reader.ended:
        return None
    degree = _ROOTS.get(reader.texts[reader.place])
    if degree is not None:
        return degree if reader.take(reader.texts[reader.place], "root", "of") else None
    for degree in range(3, 11):
        if reader.take(str(degree), "rd" if degree == 3 else "th", "root", "of"):
            return degree
    return None

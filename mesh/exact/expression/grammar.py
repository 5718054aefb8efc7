"""The grammar of expressions, by precedence, the loosest binding first; see ``parse``."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from fractions import Fraction

from mesh.exact.expression.lex import FUNCTIONS, Token
from mesh.exact.expression.tree import (
    Binary,
    Call,
    Constant,
    Expression,
    Name,
    Negative,
    Number,
    Unreadable,
)

MAX_DEPTH = 40
_END = Token("end", "", False)
_FRACTIONS = ("frac", "dfrac", "tfrac")
_DEGREE = Binary("/", Constant("pi"), Number(Fraction(180)))
_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_GLUED = re.compile(r"(sin|cos|tan|sec|csc|cot|ln|sqrt)([a-z])")  # "sinx"
_PRODUCT = re.compile(r"[xyz]{2,3}|[abc]{2,3}|[xyz]e")  # "xy" is x*y even in words; "by" is not
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_ENDS = ("+", "-", ")", "]", "}", "|", *"=<>,", "<=", ">=", "")  # of "sin x"
_TWO_WAYS = "where the exponent ends may be read in two ways"


class Parser:
    """A place in a list of tokens. ``mathematics``: a run of letters is a product. ``defined``:
    names that are functions. ``euler``: ``e`` is always the number. ``plain``: see
    ``parse.arithmetic``. All methods raise ``Unreadable``."""

    def __init__(
        self,
        found: Sequence[Token],
        mathematics: bool = False,
        *,
        defined: Collection[str] = (),
        euler: bool = False,
        plain: bool = False,
    ) -> None:
        self._tokens = list(found)
        self._at = 0
        self._mathematics = mathematics
        self._defined = defined
        self._euler = euler
        self._plain = plain
        self._loose = False
        self._depth = 0
        self._bars = 0
        self._arguments = 0

    # What stands here

    def _ahead(self, offset: int = 0) -> Token:
        at = self._at + offset
        return self._tokens[at] if at < len(self._tokens) else _END

    def _is(self, *signs: str) -> bool:
        return self._ahead().kind == "sign" and self._ahead().text in signs

    def _is_command(self, *commands: str) -> bool:
        return self._ahead().kind == "command" and self._ahead().text in commands

    def take_any(self, signs: Collection[str]) -> str | None:
        """The sign that stands here, if it is one of ``signs``; then the next token is next."""
        if not self._is(*signs):
            return None
        self._at += 1
        return self._tokens[self._at - 1].text

    def _expect(self, sign: str) -> None:
        if self.take_any((sign,)) is None:
            raise Unreadable(f"'{sign}' is missing")

    def end(self) -> None:
        """Raises ``Unreadable`` unless everything was read."""
        if self._ahead() is not _END:
            raise Unreadable(f"'{self._ahead().text}' is one too many")

    def _tight(self) -> bool:
        """Whether the sign before has no blank on either side."""
        return not (self._tokens[self._at - 1].spaced or self._ahead().spaced)

    # Sums of products of powers

    def sum(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable("too deep")
        outer, self._loose, tight = self._loose, False, False
        tree = self._product()
        while (sign := self.take_any("+-")) is not None:
            tight = tight or self._tight()
            tree = Binary(sign, tree, self._product())
        if self._plain and tight and self._loose:
            raise Unreadable("blanks that say otherwise than precedence")
        self._depth -= 1
        self._loose = outer
        return tree

    def _product(self) -> Expression:
        tree = self._signed()
        divided = divided_loosely = False
        while True:
            if (sign := self.take_any("*/")) is not None:
                tight = self._tight()
                if self._plain and divided_loosely and tight:
                    raise Unreadable("blanks that say otherwise than precedence")
                self._loose = self._loose or not tight
                divided = divided or sign == "/"
                divided_loosely = divided_loosely or (sign == "/" and not tight)
                tree = Binary(sign, tree, self._signed())
            elif self._begins_operand():
                if divided or self._plain:
                    raise Unreadable("what is divided by may be read in two ways")
                tree = Binary("*", tree, self._power())
            else:
                return tree

    def _signed(self) -> Expression:
        """Signs in front bind looser than a power: -x^2 is -(x^2)."""
        negative = False
        for _ in range(1 if self._plain else MAX_DEPTH):
            sign = self.take_any("-" if self._plain else "+-")
            if sign is None:
                tree = self._power()
                return Negative(tree) if negative else tree
            negative ^= sign == "-"
        if not self._plain:
            raise Unreadable("too many signs in a row")
        tree = self._factorial(self._operand())
        if self._is("^"):
            raise Unreadable("-2^2 is -4 to one reader and 4 to the other")
        return Negative(tree)

    def _begins_operand(self) -> bool:
        token = self._ahead()
        if token.kind == "number":
            raise Unreadable("a number after something that it is not joined to")
        if token.kind == "sign":
            return token.text in "([{" or (token.text == "|" and not self._bars)
        return token.kind == "word" or self._is_command(*_FRACTIONS, "sqrt")

    def _power(self) -> Expression:
        start = self._ahead()
        base = self._factorial(self._operand())
        if not self._is("^"):
            return base
        self._at += 1
        if self._degree():
            return Binary("*", base, _DEGREE)
        tree = Binary("^", base, self._exponent(start))
        if self._is("^"):
            raise Unreadable("a power of a power without parentheses")
        return self._factorial(tree)

    def _degree(self) -> bool:
        """Takes ``\\circ`` after a caret, with or without braces."""
        braced = self._is("{")
        if self._ahead(braced).text != "circ":
            return False
        if not self._arguments:
            raise Unreadable("degrees outside of a function")
        self._at += 1 + braced
        if braced:
            self._expect("}")
        return True

    def _factorial(self, tree: Expression) -> Expression:
        if self.take_any(("!",)) is None:
            return tree
        if self._is("!", "="):
            raise Unreadable("'!!' and '!=' are not read")
        return Call("factorial", (tree,))

    def _exponent(self, base: Token) -> Expression:
        if self._is("{"):
            return self._bracketed()
        negative = self.take_any("-" if self._plain else "+-") == "-"
        figures = self._ahead().kind == "number"
        tree = self._operand(after_caret=True)
        after = self._ahead()
        joined = figures and after.kind == "word" and not after.spaced
        if joined and (base.kind == "number" or base.text == "e"):
            raise Unreadable(_TWO_WAYS)
        if self._is("!"):
            raise Unreadable("a factorial in an exponent without parentheses")
        if self._is("/") and not after.spaced and not self._euler:
            # 4^1/2 is a quotient by precedence, and a root to many who type it; so may x^2/3 mean
            # one, while x^3/3 is (x^3)/3.
            divisor = self._ahead(1)
            root = divisor is _END or (divisor.kind == "number" and not _divides(divisor, tree))
            if figures if self._plain else isinstance(tree, Number) and root:
                raise Unreadable(_TWO_WAYS)
        return Negative(tree) if negative else tree

    def _operand(self, *, after_caret: bool = False) -> Expression:
        token = self._ahead()
        match token.kind:
            case "number":
                self._at += 1
                text = token.text
                if self._is_command(*_FRACTIONS):
                    raise Unreadable("a mixed number, or a product")
                if after_caret and self._mathematics and len(text) > 1:
                    raise Unreadable("an exponent of several digits without braces")
                return Number(_value(text))
            case "word":
                return self._word(token)
            case "command":
                return self._command(token)
        if token.text in _CLOSING:
            return self._bracketed()
        if token.text == "|":
            return self._absolute()
        raise Unreadable(f"'{token.text}' is out of place")

    def _bracketed(self) -> Expression:
        opening = self._tokens[self._at].text
        self._at += 1
        bars, self._bars = self._bars, 0
        tree = self.sum()
        self._bars = bars
        self._expect(_CLOSING[opening])
        return tree

    def _absolute(self) -> Expression:
        if self._bars:
            raise Unreadable("bars inside of bars")
        self._at += 1
        self._bars = 1
        tree = self.sum()
        self._expect("|")
        self._bars = 0
        return Call("abs", (tree,))

    def _command(self, token: Token) -> Expression:
        self._at += 1
        match token.text:
            case "frac" | "dfrac" | "tfrac":
                return Binary("/", self._group(), self._group())
            case "sqrt":
                if not self._is("["):
                    return Call("sqrt", (self._group(),))
                degree = self._bracketed()
                return Call("root", (self._group(), degree))
        raise Unreadable(f"'\\{token.text}' is not read")

    def _group(self) -> Expression:
        """What a LaTeX command applies to: braces, or one digit or letter."""
        if self._is("{"):
            return self._bracketed()
        token = self._ahead()
        first, rest = token.text[:1], token.text[1:]
        if token.kind not in ("number", "word") or first == "." or "." in rest:
            raise Unreadable("braces are missing")
        self._tokens[self._at : self._at + 1] = [Token(token.kind, rest, False)] if rest else []
        return Number(Fraction(first)) if token.kind == "number" else Name(first)

    def _word(self, token: Token) -> Expression:
        self._at += 1
        word = token.text
        if word in self._defined:
            if not self._is("("):
                raise Unreadable("a function without its argument")
            return Call(word, (self._bracketed(),))
        if word.lower() in FUNCTIONS:
            return self._function(FUNCTIONS[word.lower()])
        if word == "log":
            return self._logarithm()
        if word in ("pi", "infinity"):
            return Constant(word)
        if (glued := _GLUED.fullmatch(word)) is not None:
            self._at -= 1
            self._tokens[self._at] = Token("word", glued[2], False)
            return self._function(FUNCTIONS[glued[1]])
        if len(word) > 1:
            if not (self._mathematics or _PRODUCT.fullmatch(word)):
                raise Unreadable(f"'{word}' is a word")
            self._at -= 1
            self._tokens[self._at : self._at + 1] = [
                Token("word", letter, False) for letter in word
            ]
            return self._word(self._ahead())
        if word == "e":
            # Euler's number where it can be nothing else.
            if self._euler or self._is("^") or self._arguments:
                return Constant("e")
            raise Unreadable("'e' may be a number or a name")
        if word in ("x", "X") and token.spaced and self._at > 1:
            before, after = self._tokens[self._at - 2], self._ahead()
            if before.kind == "number" and after.text == "(" and after.spaced:
                raise Unreadable("'x' may be a name or a sign")
        if word in ("i", "I"):
            raise Unreadable("'i' may be a number, a name or a word")
        if self._is("(") and word in "fghFGHPpq":
            raise Unreadable(f"'{word}' looks like a function that is not defined")
        if self._is("_", "'"):
            raise Unreadable("names with marks are not read")
        return Name(word)

    def _logarithm(self) -> Expression:
        if self.take_any(("_",)) is None:
            raise Unreadable("'log' without its base may be read in two ways")
        if self._ahead().kind == "number" and not self._mathematics:
            base: Expression = Number(_value(self._ahead().text))
            self._at += 1
        else:
            base = self._group()
        return Binary("/", Call("ln", (self._argument(),)), Call("ln", (base,)))

    def _function(self, function: str) -> Expression:
        power: Expression | None = None
        if self._is("^"):  # sin^2(x)
            self._at += 1
            power = self._exponent(_END)
            if power == Negative(Number(Fraction(1))):
                if function not in _INVERSE:
                    raise Unreadable("the power -1 of a function may be read in two ways")
                function, power = _INVERSE[function], None
            elif not (isinstance(power, Number) and power.value > 0):
                raise Unreadable("a power of a function that is no number")
        tree: Expression = Call(function, (self._argument(),))
        return tree if power is None else Binary("^", tree, power)

    def _argument(self) -> Expression:
        self._arguments += 1
        if self._is("(", "[", "{"):
            tree = self._bracketed()
        else:
            tree = self._absolute() if self._is("|") and not self._bars else self._bare_argument()
        self._arguments -= 1
        return tree

    def _bare_argument(self) -> Expression:
        """``sin 2x``: a number, then one name; whatever would follow them closer is refused."""
        token = self._ahead()
        if self._plain and self._ahead(1) is not _END:
            raise Unreadable("how far the bar of the root went is lost in text")
        if token.kind == "number":
            tree = self._operand()
            if self._is_name():
                tree = Binary("*", tree, self._word(self._ahead()))
        elif self._is_name():
            tree = self._word(token)
        elif self._is_command(*_FRACTIONS, "sqrt"):
            tree = self._operand()
        else:
            raise Unreadable("a function without its argument")
        if self._is("^"):
            self._at += 1
            if self._degree():
                return Binary("*", tree, _DEGREE)
            raise Unreadable("what the power belongs to may be read in two ways")
        if self._is("/") and self._ahead().spaced and self._ahead(1).spaced:
            return tree  # "sin x / x"
        after = self._ahead(1) if self._is("*") else self._ahead()
        function = after.kind == "word" and after.text in FUNCTIONS
        if not function and (
            after.kind in ("number", "word", "command") or after.text not in _ENDS
        ):
            raise Unreadable("where the function's argument ends may be read in two ways")
        return tree

    def _is_name(self) -> bool:
        return self._ahead().kind == "word" and self._ahead().text not in FUNCTIONS


def _value(number: str) -> Fraction:
    if number.isdecimal():  # as most are, and a fraction of an int costs a quarter of one of a text
        return Fraction(int(number))
    return Fraction(number.replace("⁄", "/"))


def _divides(token: Token, exponent: Expression) -> bool:
    divisor = _value(token.text)
    return isinstance(exponent, Number) and bool(divisor) and exponent.value % divisor == 0

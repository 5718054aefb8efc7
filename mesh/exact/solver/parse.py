"""A precedence parser of its own, since ``sympify`` and ``eval`` run what they are given.

It refuses what people read in two ways: ``1/2x``, ``6/2(1+2)``, ``a^b^c``, ``sin x/2``, ``e^2x``,
``log x`` without a base. A refusal costs nothing; a wrong reading would be a wrong answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from fractions import Fraction

from mesh.exact.solver.lex import FUNCTIONS, Cursor, Token, tokens
from mesh.exact.solver.tree import (
    MAX_DEPTH,
    Binary,
    Call,
    Constant,
    Expression,
    Name,
    Negative,
    Number,
    Relation,
    Unreadable,
    check,
)

_INVERSE = {"sin": "arcsin", "cos": "arccos", "tan": "arctan"}
_GLUED = re.compile(r"(sin|cos|tan|sec|csc|cot|ln|sqrt)([a-z])")  # "sinx"
_PRODUCT = re.compile(
    r"[xyz]{2,3}|[abc]{2,3}|[xyz]e"
)  # "xy" is x*y even in plain text; "by" is not
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_ENDS = ("+", "-", ")", "]", "}", "|", *"=<>,", "<=", ">=")  # of "sin x"
_RELATIONS = ("=", "<", "<=", ">", ">=")


def expression(
    text: str, *, mathematics: bool = False, defined: Collection[str] = (), euler: bool = False
) -> Expression:
    """The whole text as one expression. ``mathematics``: a run of letters is a product, as between
    dollar signs. ``defined``: names that are functions here, such as ``f``. ``euler``: ``e`` is
    always the number, as in our own answers. Raises ``Unreadable``."""
    found, dressed = tokens(text)
    parser = _Parser(found, mathematics or dressed, defined, euler)
    tree = parser.sum()
    parser.end()
    check(tree)
    return tree


def relations(text: str, *, mathematics: bool = False) -> tuple[Relation, ...]:
    """The whole text as ``a = b``, or as a chain of such. Raises ``Unreadable``."""
    found, dressed = tokens(text)
    parser = _Parser(found, mathematics or dressed)
    chain: list[Relation] = []
    left = parser.sum()
    while (sign := parser.take_any(_RELATIONS)) is not None:
        right = parser.sum()
        chain.append(Relation(sign, left, right))
        left = right
    parser.end()
    for relation in chain:
        check(relation.left)
        check(relation.right)
    if not chain:
        raise Unreadable("no equation")
    return tuple(chain)


def _divides(token: Token, exponent: Number) -> bool:
    divisor = Fraction(token.text)
    return bool(divisor) and exponent.value % divisor == 0


class _Parser(Cursor):
    def __init__(
        self,
        found: list[Token],
        mathematics: bool,
        defined: Collection[str] = (),
        euler: bool = False,
    ) -> None:
        super().__init__(found)
        self._euler = euler
        self._mathematics = mathematics
        self._defined = defined
        self._depth = 0
        self._bars = 0
        self._arguments = 0

    # Grammar, the loosest binding first

    def sum(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise Unreadable("too deep")
        tree = self._product()
        while (sign := self.take_any("+-")) is not None:
            tree = Binary(sign, tree, self._product())
        self._depth -= 1
        return tree

    def _product(self) -> Expression:
        tree = self._signed()
        divided = False
        while True:
            if (sign := self.take_any("*/")) is not None:
                divided = divided or sign == "/"
                tree = Binary(sign, tree, self._signed())
            elif self._begins_operand():
                if divided:
                    raise Unreadable("what is divided by may be read in two ways")
                tree = Binary("*", tree, self._power())
            else:
                return tree

    def _signed(self) -> Expression:
        """Signs in front bind looser than a power: -x^2 is -(x^2)."""
        negative = False
        for _ in range(MAX_DEPTH):
            sign = self.take_any("+-")
            if sign is None:
                tree = self._power()
                return Negative(tree) if negative else tree
            negative ^= sign == "-"
        raise Unreadable("too many signs in a row")

    def _begins_operand(self) -> bool:
        token = self._next
        if token is None:
            return False
        if token.kind == "number":
            raise Unreadable("a number after something that it is not joined to")
        if token.kind == "sign":
            return token.text in "([{" or (token.text == "|" and not self._bars)
        return token.kind == "word" or token.text in ("frac", "dfrac", "tfrac", "sqrt")

    def _power(self) -> Expression:
        start = self._next
        base = self._factorial(self._operand())
        if not self._is("^"):
            return base
        self._at += 1
        if self._is_command("circ") or (
            self._is("{")
            and self._at + 2 < len(self._tokens)
            and self._tokens[self._at + 1].text == "circ"
        ):
            self._degree()
            return Binary("*", base, Binary("/", Constant("pi"), Number(Fraction(180))))
        tree = Binary("^", base, self._exponent(start))
        if self._is("^"):
            raise Unreadable("a power of a power without parentheses")
        return self._factorial(tree)

    def _degree(self) -> None:
        if not self._arguments:
            raise Unreadable("degrees outside of a function")
        braced = self.take_any(("{",)) is not None
        self._at += 1
        if braced:
            self._expect("}")

    def _factorial(self, tree: Expression) -> Expression:
        if self.take_any(("!",)) is None:
            return tree
        if self._is("!", "="):
            raise Unreadable("'!!' and '!=' are not read")
        return Call("factorial", (tree,))

    def _exponent(self, base: Token | None) -> Expression:
        if self._is("{"):
            return self._bracketed()
        negative = self.take_any("+-") == "-"
        first = self._next
        tree = self._operand(after_caret=True)
        after = self._next
        joined = (
            first is not None
            and first.kind == "number"
            and after is not None
            and after.kind == "word"
            and not after.spaced
        )
        if joined and base is not None and (base.kind == "number" or base.text == "e"):
            raise Unreadable("where the exponent ends may be read in two ways")
        if self._is("!"):
            raise Unreadable("a factorial in an exponent without parentheses")
        slash = self._is("/") and not self._tokens[self._at].spaced
        if slash and isinstance(tree, Number) and not self._euler:
            # x^3/3 is (x^3)/3, but x^1/2 and x^2/3 may mean roots.
            divisor = self._tokens[self._at + 1 : self._at + 2]
            if not divisor or (divisor[0].kind == "number" and not _divides(divisor[0], tree)):
                raise Unreadable("where the exponent ends may be read in two ways")
        return Negative(tree) if negative else tree

    def _operand(self, *, after_caret: bool = False) -> Expression:
        token = self._next
        if token is None:
            raise Unreadable("it ends too early")
        match token.kind:
            case "number":
                self._at += 1
                text = token.text
                if self._is_command("frac", "dfrac", "tfrac"):
                    raise Unreadable("a mixed number, or a product")
                if after_caret and self._mathematics and len(text) > 1:
                    raise Unreadable("an exponent of several digits without braces")
                return Number(Fraction(text))
            case "word":
                return self._word(token)
            case "command":
                return self._command(token)
            case _:
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
        token = self._next
        if token is None or token.kind not in ("number", "word"):
            raise Unreadable("braces are missing")
        self._at += 1
        first, rest = token.text[0], token.text[1:]
        if rest:
            self._at -= 1
            self._tokens[self._at] = Token(token.kind, rest, False)
        if token.kind == "number":
            if not first.isdigit() or "." in rest:
                raise Unreadable("braces are missing")
            return Number(Fraction(first))
        return Name(first)

    def _word(self, token: Token) -> Expression:
        self._at += 1
        word = token.text
        if word in self._defined:
            return Call(word, self._called())
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
            return self._word(self._tokens[self._at])
        if word == "e":
            # Euler's number where it can be nothing else.
            if self._euler or self._is("^") or self._arguments:
                return Constant("e")
            raise Unreadable("'e' may be a number or a name")
        if word in ("x", "X") and token.spaced and self._at > 1:
            before, after = self._tokens[self._at - 2], self._next
            if before.kind == "number" and after is not None and after.text == "(" and after.spaced:
                raise Unreadable("'x' may be a name or a sign")
        if word in ("i", "I"):
            raise Unreadable("'i' may be a number, a name or a word")
        if self._is("(") and word in "fghFGHPpq":
            raise Unreadable(f"'{word}' looks like a function that is not defined")
        if self._is("_", "'"):
            raise Unreadable("names with marks are not read")
        return Name(word)

    def _called(self) -> tuple[Expression, ...]:
        if not self._is("("):
            raise Unreadable("a function without its argument")
        return (self._bracketed(),)

    def _logarithm(self) -> Expression:
        if self.take_any(("_",)) is None:
            raise Unreadable("'log' without its base may be read in two ways")
        base = self._group_or_number()
        return Binary("/", Call("ln", (self._argument(),)), Call("ln", (base,)))

    def _group_or_number(self) -> Expression:
        if not self._mathematics and (token := self._next) is not None and token.kind == "number":
            self._at += 1
            return Number(Fraction(token.text))
        return self._group()

    def _function(self, function: str) -> Expression:
        power: Expression | None = None
        if self._is("^"):  # sin^2(x)
            self._at += 1
            power = self._exponent(None)
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
        token = self._next
        if self._is_command("frac", "dfrac", "tfrac", "sqrt"):
            tree = self._operand()
        elif token is not None and token.kind == "number":
            tree = self._operand()
            after = self._next
            if after is not None and after.kind == "word" and after.text not in FUNCTIONS:
                tree = Binary("*", tree, self._word(after))
        elif token is not None and token.kind == "word" and token.text not in FUNCTIONS:
            tree = self._word(token)
        else:
            raise Unreadable("a function without its argument")
        if self._is("^") and self._at + 1 < len(self._tokens):
            inner = self._tokens[self._at + 1].text
            if inner == "circ" or inner == "{":
                self._at += 1
                if self._is_command("circ") or self._tokens[self._at + 1].text == "circ":
                    self._degree()
                    degree = Binary("/", Constant("pi"), Number(Fraction(180)))
                    return Binary("*", tree, degree)
            raise Unreadable("what the power belongs to may be read in two ways")
        after = self._next
        if self._is("*"):
            after = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else None
        spaced = self._is("/") and self._tokens[self._at].spaced
        if (
            spaced
            and self._tokens[self._at + 1 : self._at + 2][:1]
            and self._tokens[self._at + 1].spaced
        ):
            return tree  # "sin x / x"
        function = after is not None and after.kind == "word" and after.text in FUNCTIONS
        ends = after is None or (after.kind == "sign" and after.text in _ENDS)
        if not (function or ends):
            raise Unreadable("where the function's argument ends may be read in two ways")
        return tree

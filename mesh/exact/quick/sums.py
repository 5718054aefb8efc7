"""Kind ``arithmetic``: the ways in which people put a sum, as a table of forms.

Precedence is the usual one; operators of one rank go from left to right. What people or
calculators read in more than one way is not read: see ``expression.parse.arithmetic``, and "the
square root of 16 plus 9", "80 plus 15%", a remainder inside a sum.
"""

from __future__ import annotations

import re
from functools import cache, reduce

from mesh.exact.base import words
from mesh.exact.expression.parse import arithmetic, expression
from mesh.exact.expression.tree import Binary, Call, Expression, Number, Unreadable, replace
from mesh.exact.expression.value import Undefined, Unknown, evaluate
from mesh.exact.phrase import phrase
from mesh.exact.quick.calculator import Sum
from mesh.exact.quick.numerals import NUMBER, NUMBER_WORDS, ORDINALS, Spelt, value
from mesh.exact.quick.wrapping import Asked

_MOST_ITEMS = 20
_CURRENCY = {"$": "$", "€": "€", "£": "£", "dollars": "$", "bucks": "$", "euros": "€"}

WORDS = (
    NUMBER_WORDS
    | words(
        "plus minus times multiplied divided added subtracted by buy over mod modulo ",
        "squared cubed factorial square cube root of sqrt power raised to the sum total ",
        "product difference between quotient average mean remainder when dividing is add ",
        "subtract multiply divide take away from and percent per cent percentage off tip ",
        "tax on for an increase decrease reduce increased decreased reduced as what out ",
        "how many does can will go goes fit in into with x double twice triple greatest ",
        "highest least lowest common divisor factor multiple denominator gcd gcf hcf lcm ",
        "fact cubic rt negative th st nd rd dollars bucks euros",
    )
    | frozenset(ORDINALS)
)

# Words for operators; the signs stand between blanks, since a word is never tight.
_SIGNS = (
    (re.compile(r" ?(?<![a-z])(?:plus|added to)\b"), " +"),
    (re.compile(r" ?(?<![a-z])(?:minus|negative)\b"), " -"),
    (
        re.compile(
            r" ?(?<![a-z])(?<!how many )(?:times|multiplied by)\b|(?<=[0-9)! ])x(?=[-0-9(. ])"
        ),
        " *",
    ),
    (re.compile(r" ?(?<![a-z])divided (?:by|buy)\b"), " /"),
    (re.compile(r" squared(?! root)\b"), "^(2)"),
    (re.compile(r" cubed(?! root)\b"), "^(3)"),
    (re.compile(r"(?<=[0-9)]) factorial\b"), "!"),
    (re.compile(r"\bfact ?\(([0-9]+)\)"), r"\1!"),
    (re.compile(r"\bcubic (?:root|rt) of\b"), "cube root of"),
)
_BRACKET = r"\([^()a-z]*(?:\([^()a-z]*\)[^()a-z]*)*\)"
_SIMPLE = rf"(?:- ?)?(?:{NUMBER}|{_BRACKET})"
_TO_THE = phrase(
    "<base> (raised to [the ]|to the )(power [of ]<power>|<ordinal>[st|nd|rd|th][ power])",
    base=r"\S.*?",
    power=_SIMPLE,
    ordinal="[0-9]+(?=st|nd|rd|th)|" + "|".join(ORDINALS),
)
_ROOTS = {"square": 2, "cube": 3, "cubed": 3, "squared": 2, "3rd": 3} | {
    **{word: number for word, number in ORDINALS.items() if 3 <= number <= 10},
    **{f"{number}th": number for number in range(4, 11)},
}
_SLOTS = {
    "a": _SIMPLE,
    "b": _SIMPLE,
    "p": NUMBER,
    "q": rf"{NUMBER}(?: ?/ ?{NUMBER})?",
    "n": rf"(?:[$€£] ?)?{NUMBER}(?: ?/ ?{NUMBER})?(?: dollars| bucks| euros)?|{_BRACKET}",
    "items": r"\S.*",
    "m": rf"(?:[$€£] ?)?{NUMBER}(?: dollars| bucks| euros)?|{_BRACKET}",
    "shares": rf"{NUMBER}(?: ?/ ?{NUMBER})?(?: of {NUMBER}(?: ?/ ?{NUMBER})?)*",
    "root": "|".join(_ROOTS),
}
_PERCENT = " ?(%|percent|per cent)"
# ``a``, ``b``: simple numbers; ``m``: perhaps money; ``p``: a number; ``items``: a list, put
# together by the sign or function beside it. The first form that fits has the text.
_FORMS = tuple(
    (phrase(form, **_SLOTS), meaning)
    for form, meaning in (
        (f"[a |an ]<q>{_PERCENT} off [of ]<m>", "m - q / 100 * m"),
        (f"[a |an ]<q>{_PERCENT} (tip on|tip for|tax on|of) <m>", "q / 100 * m"),
        (f"<a> ?\\* ?<p>{_PERCENT}", "a * (p / 100)"),
        (f"<a> ?/ ?<p>{_PERCENT}", "a / (p / 100)"),
        ("twice <a>", "2 * a"),
        ("double <a>", "2 * a"),
        ("triple <a>", "3 * a"),
        ("[a |an ]<shares> of <n>", "shares"),
        ("[the ]<root> root of [the ]<a>", "root"),
        ("[the ](sum|total) of <items>", "+"),
        ("[the ]product of <items>", "*"),
        ("[the ](average|mean) of <items>", "mean"),
        ("[the ]difference between <items>", "apart"),
        ("[the ]quotient of <items>", "/"),
        ("[the ]square of <a>", "a^2"),
        ("[the ]cube of <a>", "a^3"),
        ("[the ]factorial of <a>", "a!"),
        ("[the ]remainder (of|when) <a> [is ]/ ?<b>", "mod"),
        ("[the ]remainder when dividing <a> by <b>", "mod"),
        ("[the ](gcd|gcf|hcf|(greatest|highest) common (divisor|factor)) of <items>", "gcd"),
        ("[the ]greatest common divisor between <items>", "gcd"),
        ("[the ](lcm|(least|lowest) common (multiple|denominator)) of <items>", "lcm"),
        ("add <items>", "add"),
        ("multiply <items>", "multiply"),
        ("(subtract|take away) <a> from <b>", "b - a"),
        ("take <a>[ away] from <b>", "b - a"),
        ("divide <a> by <b>", "a / b"),
        (f"increase <m> by <p>{_PERCENT}", "m + m * (p / 100)"),
        (f"(decrease|reduce) <m> by <p>{_PERCENT}", "m - m * (p / 100)"),
        ("increase <m> by <p>", "m + p"),
        ("(decrease|reduce) <m> by <p>", "m - p"),
        ("how many times (does|can|will|do) <a> (go[es] into|fit into|fit in|go in) <b>", "whole"),
        ("(percent|percentage|per cent) of <b> is <a>", "percent"),
        ("(percent|percentage) is <a> (out of|of) <b>", "percent"),
        ("<a> (is what percent[age] of|as a percent[age] of) <b>", "percent"),
        ("<a> subtracted from <b>", "b - a"),
        ("<a> (mod|modulo) <b>", "mod"),
        ("<a> over <b>", "a / b"),
        (f"<m> increased by <p>{_PERCENT}", "m + m * (p / 100)"),
        (f"<m> (decreased|reduced) by <p>{_PERCENT}", "m - m * (p / 100)"),
        ("<m> increased by <p>", "m + p"),
        ("<m> (decreased|reduced) by <p>", "m - p"),
    )
)
_BETWEEN = {"+": "[+]", "*": "[*x]", "add": r"to\b|with\b|[+]", "multiply": r"by\b|with\b|[*x]"}
_FOLDS = {"+": "+", "*": "*", "/": "/", "add": "+", "multiply": "*", "mean": "+", "apart": "-"}
_FOLDS |= {"gcd": "gcd", "lcm": "lcm"}


def recognise(asked: Asked, figures: Spelt) -> Sum | None:
    """``asked``: plain, in lower case, without its politeness; ``figures``: with its numbers so.
    Pure, and linear in its length."""
    if _means_something_else(asked):
        return None
    text = figures.text
    for pattern, sign in _SIGNS:
        text = pattern.sub(sign, text)
    text = " ".join(text.split())
    if (power := _TO_THE.fullmatch(text)) is not None:
        ordinal = power["ordinal"]
        text = f"{power['base']}^({power['power'] or ORDINALS.get(ordinal, ordinal)})"
    try:
        if _WORD.search(text) is None and not _HALF_OFF.search(asked.text):
            tree = arithmetic(text)
            return Sum(expression=tree) if isinstance(tree, Binary | Call) else None
        for pattern, meaning in _FORMS:
            match = pattern.fullmatch(text)
            if match is not None and (problem := _meant(match, meaning, joined=figures.joined)):
                return problem
    except Unreadable:
        return None
    return None


_WORD = re.compile(r"(?!sqrt)\b[a-z]|[^-+*/^!().0-9⁄√×÷ a-z]")
_MIXED = re.compile(r"[0-9]-([0-9]+)/([0-9]+)")
# "100 minus half" takes away 50 as often as a half.
_HALF_OFF = re.compile(r"(?:plus|minus|added to|[-+]) ?half$")
_TONE = re.compile(r"[\w.,]+ ?!")


def _means_something_else(asked: Asked) -> bool:
    """0x10, 007, 5-1/2: figures that are no decimal number, or two; and in "what is 3 + 4!" the
    mark may be tone. Whether anybody asks for the value is for ``wanted`` to say."""
    text = asked.text
    if text.endswith("!") and text.count("!") == 1 and not _TONE.fullmatch(text):
        return True
    if text.startswith("0x") or re.search(r"(?<![0-9.,])0[0-9]", text):
        return True
    # 5-1/2 is also how many write five and a half
    return any(int(m[1]) < int(m[2]) <= 64 for m in _MIXED.finditer(text))


def _meant(match: re.Match[str], meaning: str, *, joined: bool) -> Sum | None:
    """The sum that a form means. Raises ``Unreadable``."""
    said = {name: text for name, text in match.groupdict().items() if text is not None}
    if "items" in said:
        return _of_items(said["items"], meaning, joined=joined)
    money, amount = _amount(said.get("m") or said.get("n") or "0")
    if meaning == "shares":
        shares = [arithmetic(share) for share in said["shares"].split(" of ")]
        if evaluate(shares[0]).value >= 1 or len(shares) > 3:
            return None  # "5 of 10" is a share, or half
        return Sum(expression=_folded("*", [*shares, amount]), money=money)
    slots: dict[str, Expression] = {
        name: arithmetic(said[name]) for name in ("a", "b", "p", "q") if name in said
    }
    if meaning == "root":
        return Sum(expression=Call("root", (slots["a"], _number(_ROOTS[said["root"]]))))
    if meaning == "mod":
        return Sum(expression=Call("mod", (slots["a"], slots["b"])))
    if meaning in ("percent", "whole"):
        top, bottom = ("a", "b") if meaning == "percent" else ("b", "a")
        tree = Binary("/", slots[top], slots[bottom])
        return Sum(expression=tree, percent=meaning == "percent", whole=meaning == "whole")
    if money and "p" in slots and "100" not in meaning:
        return None  # "$80 increased by 5": dollars, or percent?
    return Sum(expression=replace(_template(meaning), {**slots, "m": amount}), money=money)


_template = cache(expression)


def _amount(text: str) -> tuple[str, Expression]:
    """A number, with its currency if it has one. Raises ``Unreadable``."""
    signs = [sign for sign in _CURRENCY if sign in text]
    if len({_CURRENCY[sign] for sign in signs}) > 1:
        raise Unreadable("two currencies")
    for sign in signs:
        text = text.replace(sign, "")
    return (_CURRENCY[signs[0]] if signs else ""), arithmetic(text)


def _of_items(text: str, meaning: str, *, joined: bool) -> Sum | None:
    between = _BETWEEN.get(meaning, "(?!)")
    outside = r"(?![^()]*\))"  # of brackets
    parts = re.split(rf" ?(?:, ?(?:and\b|&)?|\band\b|&|{between}){outside} ?", text)
    if not 2 <= len(parts) <= _MOST_ITEMS or not all(re.fullmatch(_SIMPLE, p) for p in parts):
        return None
    items = [arithmetic(part) for part in parts]
    if meaning in ("apart", "/") and len(items) != 2:
        return None
    # "The product of two and a half and four" is of two numbers or three; a sum is the same then.
    if joined and (meaning not in ("+", "add", "apart", "/") or "-" in text):
        return None
    # Of "add 3 to 4 and 5" nobody knows whether it is one sum or two.
    if meaning in ("add", "multiply") and len(items) > 2 and re.search(f" (?:{between}) ", text):
        return None
    if meaning == "apart":
        try:
            items.sort(key=lambda item: -evaluate(item).value)
        except (Undefined, Unknown):
            return None
    tree = _folded(_FOLDS[meaning], items)
    return Sum(expression=Binary("/", tree, _number(len(items))) if meaning == "mean" else tree)


def _folded(sign: str, items: list[Expression]) -> Expression:
    if sign in ("gcd", "lcm"):
        return reduce(lambda left, right: Call(sign, (left, right)), items)
    return reduce(lambda left, right: Binary(sign, left, right), items)


def _number(number: int) -> Number:
    return Number(value(str(number)))

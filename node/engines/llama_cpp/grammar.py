"""What an answer may look like: GBNF, and JSON Schema turned into GBNF, checked before llama.cpp.

llama.cpp's parser says what is wrong only on standard error, and there are grammars that exhaust
its memory or stack. ``check_grammar`` refuses those and names the place. GBNF is described in
llama.cpp's ``grammars/README.md``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from llama_cpp.llama_grammar import SchemaConverter

from mesh.errors import InvalidRequest
from mesh.types import Sampling
from node.engines.llama_cpp.alternatives import grouped
from node.engines.llama_cpp.gbnf import check_escapes, tokens, wrong
from node.engines.llama_cpp.patterns import plain

MOST_REPETITIONS = 1000  # of one item, in a grammar or by a schema
DEEPEST = 64  # brackets within brackets, objects within objects
LARGEST_GRAMMAR = 1024 * 1024  # characters, once a schema has become one
MOST_ELEMENTS = 200_000  # what all repetitions may write out to

# llama.cpp follows every way through what may be empty; its time grows with the cube of this.
MOST_EMPTY = 64

_QUANTIFIER = re.compile(r"\d+")
_COUNTS = re.compile(r"\{(\d+),?(\d*)\}")
_COUNTED = ("minLength", "maxLength", "minItems", "maxItems")


def _converter() -> Any:
    """The library's, but for a literal with a backslash in it, which it would let end early, and
    for patterns, of which it knows too little."""
    make: Any = SchemaConverter  # untyped
    converter = make(prop_order={}, allow_fetch=False, dotall=False, raw_pattern=False)
    quoted = converter._format_literal
    converter._format_literal = lambda text: quoted(text.replace("\\", "\\\\"))
    visited = converter._visit_pattern
    converter._visit_pattern = lambda pattern, name: visited(plain(pattern), name)
    return converter


def grammar_of(sampling: Sampling) -> str | None:
    """The GBNF that ``sampling`` asks for, None for none. Raises ``InvalidRequest``."""
    if sampling.grammar is not None:
        check_grammar(sampling.grammar)
        return grouped(sampling.grammar)
    if sampling.json_schema is not None:
        return grouped(grammar_of_schema(sampling.json_schema))
    return None


def grammar_of_schema(text: str) -> str:
    """GBNF for JSON that fits the schema. Keywords that the converter does not know (``not``,
    ``if`` and others) do not bind. Raises ``InvalidRequest``."""
    optional = 0
    try:
        schema = json.loads(text)
        if not isinstance(schema, dict):
            raise InvalidRequest('json_schema must be a JSON object, as {"type": "object"}')
        for part in _parts(schema):
            _check_part(part)
            optional = max(optional, _optional(part))
        if "$ref" in schema:
            # The converter would not look at what stands beside a reference: its definitions.
            reference = schema.pop("$ref")
            schema["anyOf"] = [{"$ref": reference}]
        converter = _converter()
        converter.visit(converter.resolve_refs(schema, "schema"), "")
        grammar = str(converter.format_grammar())
    except RecursionError:
        # Optional properties are as many rules within each other.
        what = "is nested too deep, or refers to itself without end"
        if optional > DEEPEST:
            what = f"has an object with {optional:,} optional properties, which is too many"
        raise InvalidRequest(f"json_schema {what}; make it simpler") from None
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        # The converter has no error type of its own; whatever it trips over is in the schema.
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise InvalidRequest(f"json_schema cannot be used: {what}") from None
    if len(grammar) > LARGEST_GRAMMAR:
        raise InvalidRequest(
            f"json_schema becomes a grammar of {len(grammar):,} characters; the limit is "
            f"{LARGEST_GRAMMAR:,}; make it simpler"
        )
    try:
        # It writes "at most n" as n brackets within each other.
        check_grammar(grammar, deepest=DEEPEST + MOST_REPETITIONS)
    except InvalidRequest as error:
        raise InvalidRequest(f"json_schema cannot be used; as a {error.message}") from None
    return grammar


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """All objects in it. Raises ``InvalidRequest`` for one nested too deep."""
    waiting = [(schema, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > DEEPEST:
            raise InvalidRequest(f"json_schema is nested more than {DEEPEST} deep")
        if isinstance(part, dict):
            yield part
            waiting += [(value, depth + 1) for value in part.values()]
        elif isinstance(part, list):
            waiting += [(value, depth + 1) for value in part]


def _optional(part: dict[str, Any]) -> int:
    """How many properties an object may do without."""
    properties, required = part.get("properties"), part.get("required")
    if not isinstance(properties, dict):
        return 0
    return len(properties) - (len(required) if isinstance(required, list) else 0)


def _check_part(part: dict[str, Any]) -> None:
    for key in _COUNTED:
        value = part.get(key)
        if isinstance(value, int) and not 0 <= value <= MOST_REPETITIONS:
            raise InvalidRequest(f"json_schema: {key} must be 0 to {MOST_REPETITIONS}, not {value}")
    least, most = part.get("minItems"), part.get("maxItems")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        raise InvalidRequest(f"json_schema: minItems {least} is more than maxItems {most}")
    if isinstance(part.get("$ref"), str) and not part["$ref"].startswith("#/"):
        raise InvalidRequest(
            f"json_schema: $ref {part['$ref'][:80]!r} is not within the schema; use '#/...'"
        )
    pattern = part.get("pattern")
    if isinstance(pattern, str) and not _bounded(pattern):
        raise InvalidRequest(
            f"json_schema: a pattern may repeat at most {MOST_REPETITIONS} times: {pattern[:80]!r}"
        )


def _bounded(pattern: str) -> bool:
    """Whether a regular expression writes out to little; one with groups may nest its counts."""
    counts = _COUNTS.findall(pattern)
    if any(len(n) > 4 or int(n) > MOST_REPETITIONS for pair in counts for n in pair if n):
        return False
    most = math.prod(max(1, int(last or first)) for first, last in counts)
    return "(" not in pattern or most <= MOST_EMPTY


def check_grammar(text: str, *, deepest: int = DEEPEST) -> None:
    """Raises ``InvalidRequest`` with line and reason. Left recursion is left to llama.cpp, which
    finds it."""
    rules: set[str] = set()
    used: dict[str, int] = {}
    rule = ""  # whose body is read, "" between rules
    pending = ""  # a name that may turn out to begin a rule
    depth = elements = item = 0  # item: elements that a repetition would repeat, 0 for none
    may_break = False  # whether the body goes on in the next line
    # What each rule, and each open bracket in it, holds: names of rules, "" for what may be empty.
    holds: dict[str, set[str]] = {}
    loose: list[set[str]] = [set()]
    last: set[str] = set()  # the same of the last item
    repeated: list[tuple[set[str], int]] = []
    for kind, token, line, *_ in tokens(text):
        if pending and kind != "define":
            raise wrong(line, f"'::=' must follow the name '{pending}'")
        if not rule and kind not in ("newline", "name", "define"):
            raise wrong(line, f"a rule's name must come before {token[:20]!r}")
        match kind:
            case "newline" if depth == 0 and not may_break:
                rule = ""
            case "name" if not rule:
                pending = token
            case "define" if pending:
                rule, pending = pending, ""
                rules.add(rule)
                item, may_break, loose = 0, True, [holds.setdefault(rule, set())]
            case "define":
                raise wrong(line, "'::=' without a rule's name before it")
            case "bar" | "open":
                if kind == "bar" and not item:
                    loose[-1].add("")  # nothing before the bar
                depth += kind == "open"
                if depth > deepest:
                    raise wrong(line, f"brackets are nested more than {deepest} deep")
                item, may_break = 0, True
                if kind == "open":
                    loose.append(set())
            case "close":
                depth -= 1
                if depth < 0:
                    raise wrong(line, "')' without '('")
                last = loose.pop() | (set() if item else {""})
                item, may_break = 1, False
                loose[-1] |= last
            case "repeat":
                if not item:
                    raise wrong(line, f"nothing stands before {token!r} to repeat")
                count = _repetitions(token, line)
                elements += item * count
                repeated.append((last, count))
                if token in ("*", "?") or int((_QUANTIFIER.findall(token) or ["1"])[0]) == 0:
                    last = {""}
                    loose[-1].add("")
            case "name":
                used.setdefault(token, line)
                item, may_break, last = 1, False, {token}
                loose[-1].add(token)
            case "literal" | "chars" | "any":
                check_escapes(token, line)
                item, may_break, last = (
                    max(1, len(token) - 2),
                    False,
                    {""} if token == '""' else set(),
                )
                loose[-1] |= last
    if rule and not item:
        holds[rule].add("")
    if depth or pending:
        raise InvalidRequest("grammar: the text ends within a rule; close its brackets")
    for name, line in used.items():
        if name not in rules:
            raise wrong(line, f"no rule is called '{name}'")
    if "root" not in rules:
        raise InvalidRequest("grammar: no rule is called 'root', where an answer begins; add it")
    if elements > MOST_ELEMENTS:
        raise InvalidRequest(
            f"grammar: its repetitions write out to {elements:,} elements; the limit is "
            f"{MOST_ELEMENTS:,}"
        )
    _check_empty(repeated, holds)


def _check_empty(repeated: list[tuple[set[str], int]], holds: dict[str, set[str]]) -> None:
    """``repeated``: what an item holds, and how often. ``holds``: what each rule does. Takes all
    that has something in it that may be empty for something that may be empty."""
    empty = {""}
    while more := {rule for rule, held in holds.items() if held & empty} - empty:
        empty |= more
    ways = math.prod(count for held, count in repeated if held & empty)
    if ways > MOST_EMPTY:
        raise InvalidRequest(
            f"grammar: something that may be empty is repeated {ways:,} times in all; the limit is "
            f"{MOST_EMPTY}; use '*', or let the repeated part never be empty"
        )


def _repetitions(token: str, line: int) -> int:
    """How often a repetition writes its item out."""
    counts = [int(n) for n in _QUANTIFIER.findall(token[:40])]
    if not counts:
        return 1
    if len(token) > 40 or max(counts) > MOST_REPETITIONS:
        raise wrong(line, f"{token[:40]} repeats more than {MOST_REPETITIONS} times")
    if counts[-1] < counts[0]:
        raise wrong(line, f"{token} asks for at most fewer than at least")
    return max(1, counts[-1])

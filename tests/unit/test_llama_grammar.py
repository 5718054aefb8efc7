"""What a grammar or a schema must be before llama.cpp sees it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import InvalidRequest
from mesh.types import Sampling
from mesh.validation import MAX_GRAMMAR_BYTES, check_sampling
from node.engines.llama_cpp.grammar import check_grammar, grammar_of, grammar_of_schema


@pytest.mark.parametrize(
    "text",
    [
        'root ::= "a"',
        '# a comment\nroot  ::= (\n  "a" | b )+\r\nb ::= [a-z\\]] .  # more\n',
        'root ::= "\\x41"{2,5} [^\\u00e9]{3} .{2,}',
        'root ::= "a" |\n  "b"',
        'root ::= [^\\n"]* "\\"" ""\n\n\nx-1 ::= ("b" [c-d] word){0,1000}\nword ::= [a-z]+',
        'root ::= "two\nlines"',
        'root ::= ("a" | word){50} ws\nword ::= [a-z]+\nws ::= " "*',
    ],
)
def test_a_good_grammar_passes(text: str) -> None:
    check_grammar(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('foo ::= "a"', "called 'root'"),
        ("root ::= nosuch", "line 1: no rule is called 'nosuch'"),
        ('root ::= "a"\n\nroot "b"', "line 3: '::=' must follow the name 'root'"),
        ('root ::= "a', "line 1: cannot be read"),
        ('root ::= ("a"', "within a rule"),
        ('root ::= "a")', "line 1: '\\)' without"),
        ("root ::= *", "line 1: nothing stands before '\\*'"),
        ('root ::= "a"{5,2}', "fewer than at least"),
        ('root ::= "a"{1001}', "more than 1000 times"),
        ('root ::= "a"{' + "9" * 5000 + "}", "more than 1000 times"),
        ('root ::= "' + "a" * 900 + '"{900}', "write out to"),
        ("root ::= " + "(" * 100 + '"a"' + ")" * 100, "nested more than 64"),
        ('root ::= "\\q"', "is no escape"),
        ('"a"', "line 1: a rule's name must come before"),
        ('root ::= ("a"?){1000}', "may be empty is repeated 1,000 times"),
        ('root ::= (("a"?){100}){100}', "may be empty"),
        ('root ::= x{50}\nx ::= y{50}\ny ::= "a"*', "may be empty"),
        ('root ::= ("a" | ){200}', "may be empty"),
        ('root ::= (x){200}\nx ::= "a"?', "may be empty"),
        ('root ::= x{200}\nx ::= "a" |', "may be empty"),
        ('root ::= ( | "a"){200}', "may be empty"),
        ('root ::= ("a"{ 0, 1}){200}', "may be empty"),
        ("root ::= <[5]>", "cannot be read"),
        ("root", "within a rule"),
        ("::=", "without a rule's name"),
        ("", "called 'root'"),
    ],
)
def test_a_bad_grammar_is_refused_with_its_place(text: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        check_grammar(text)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


@given(st.text(alphabet='root ::=()|"a\\[]{},0123*+?.#<>!\n-b', max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        check_grammar(text)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}},
        {"type": "array", "items": {"enum": ["x", 1, None]}, "minItems": 1, "maxItems": 4},
        {"$ref": "#/$defs/t", "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}},
        {"type": "string", "pattern": "^[a-z]{2,8}$"},
        {"type": "string", "maxLength": 500},
        {"anyOf": [{"type": "string", "format": "date"}, {"const": 'with "quotes" and \n'}]},
    ],
)
def test_a_schema_becomes_a_grammar_that_passes(schema: dict[str, Any]) -> None:
    check_grammar(grammar_of_schema(json.dumps(schema)), deepest=2000)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "nosuch"}, "cannot be used"),
        ({"type": "string", "maxLength": 10**9}, "maxLength must be 0 to 1000"),
        ({"type": "array", "items": {}, "minItems": 5, "maxItems": 2}, "minItems 5"),
        ({"type": "string", "pattern": "^a{1,99999}$"}, "at most 1000 times"),
        ({"type": "string", "pattern": "^((a?){100}){100}$"}, "at most 1000 times"),
        ({"$ref": "https://example.org/schema.json"}, "not within the schema"),
        ({"$ref": "#/nowhere"}, "cannot be used"),
        ({"type": "object", "properties": 7}, "cannot be used"),
        (
            {"properties": {f"f{i}": {} for i in range(2000)}},
            "2,000 optional properties, which is too many",
        ),
        ({"type": "string", "pattern": r"^\bfoo$"}, "a pattern's"),
        ({"type": "string", "pattern": r"^[\D]$"}, "between"),
        ({"type": "string", "pattern": "^[a"}, "cannot be used"),
        (7, "must be a JSON object"),
        (None, "must be a JSON object"),
        (True, "must be a JSON object"),
    ],
)
def test_a_bad_schema_is_refused_in_one_line(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        grammar_of_schema(json.dumps(schema))
    assert "\n" not in caught.value.message


def test_a_schema_nested_too_deep_is_refused() -> None:
    text = '{"items":' * 200 + "{}" + "}" * 200
    with pytest.raises(InvalidRequest, match="64 deep"):
        grammar_of_schema(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["type", "properties", "items", "anyOf", "$ref", "enum", "pattern"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_is_taken_or_refused(value: Any) -> None:
    with contextlib.suppress(InvalidRequest):
        grammar_of_schema(json.dumps(value))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grammar": " "}, "grammar is empty"),
        ({"grammar": "x" * (MAX_GRAMMAR_BYTES + 1)}, "the limit is 65,536"),
        ({"grammar": "a\0b"}, "NUL"),
        ({"json_schema": "{"}, "not JSON"),
        ({"json_schema": "[" * 60_000}, "not JSON"),
        ({"json_schema": "[]"}, "must be a JSON object"),
        ({"json_schema": "{}", "grammar": "root ::= x"}, "exclude each other"),
    ],
)
def test_what_every_border_refuses(changes: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        check_sampling(Sampling(**changes))  # type: ignore[arg-type]


def test_no_form_is_no_grammar() -> None:
    assert grammar_of(Sampling()) is None


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        (r"^\d{3}$", "[0-9]"),
        (r"^[\w.-]+$", "[a-zA-Z0-9_.-]+"),
        (r"^a\.b$", r'"a" [\x2E] "b"'),
        (r"^\+?[0-9]$", r"[\x2B]? [0-9]"),
        (r"^(?:a|b)$", '("a" | "b")'),
        (r"^[^\s]$", r"[^ \"\\\x00-\x1F]"),
        (r"^\S$", r"[^ \"\\\x00-\x1F]"),
        (r"^.$", r"[^\"\\\x00-\x1F]"),
        (r"^[\.\-\]]$", r"[\x2E\x2D\]]"),
        (r"^[a.(?:]$", "[a.(?:]"),
    ],
)
def test_escapes_of_a_pattern_become_what_they_stand_for(pattern: str, rule: str) -> None:
    found = grammar_of_schema(json.dumps({"type": "string", "pattern": pattern}))
    check_grammar(found, deepest=2000)
    assert rule in found


def test_a_value_that_speaks_of_a_pattern_is_left_as_it_is() -> None:
    found = grammar_of_schema(json.dumps({"const": {"pattern": r"a\d"}}))
    assert r"a\\\\d" in found

"""A schema's regular expression in the few signs that a grammar knows."""

from __future__ import annotations

import pytest

from mesh.errors import InvalidRequest
from node.engines.llama_cpp.patterns import plain

NO_STRING = r"\"\\\x00-\x1F"


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("^a+$", "^a+$"),
        (r"\d\w\s", "[0-9][a-zA-Z0-9_][ ]"),
        (r"[\d\w\s]", "[0-9a-zA-Z0-9_ ]"),
        (r"\D\W\S", f"[^0-9{NO_STRING}][^a-zA-Z0-9_{NO_STRING}][^ {NO_STRING}]"),
        (r"\.", r"[\x2E]"),
        (r"[\.]", r"[\x2E]"),
        (r"\n\r\t\x41\u00e9\"\\\[\]", r"\n\r\t\x41\u00e9\"\\\[\]"),
        (".", f"[^{NO_STRING}]"),
        ("[.]", "[.]"),
        ("[a]", "[a]"),
        ("[^a]b", f"[^a{NO_STRING}]b"),
        ("[[a]", r"[\[a]"),
        ("[a]]", "[a]]"),
        ("(?:a|b)", "(a|b)"),
        ("(a)", "(a)"),
        ("[(?:]", "[(?:]"),
        ("a\\", "a\\"),
    ],
)
def test_a_pattern_is_written_in_signs_of_a_grammar(pattern: str, written: str) -> None:
    assert plain(pattern) == written


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (r"\bfoo", r"json_schema: a pattern's '\b' is not known here; write out what it means"),
        (
            r"[a\D]",
            r"json_schema: a pattern's '\D' between [ and ] is not known here; write out what it "
            "means",
        ),
        (r"[a]\1", r"json_schema: a pattern's '\1' is not known here; write out what it means"),
        (r"\é", r"json_schema: a pattern's '\é' is not known here; write out what it means"),
    ],
)
def test_an_escape_that_has_no_such_sign_is_refused_where_it_stands(
    pattern: str, says: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        plain(pattern)
    assert raised.value.message == says

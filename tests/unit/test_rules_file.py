"""What a rules file may say, and what each mistake in it is answered with."""

from __future__ import annotations

import json

import pytest

from mesh.errors import RuleError
from orchestrator.router.rule_file import MAX_FILE_BYTES, MAX_RULES, RulePart, parse
from orchestrator.router.rules import RulesStage


def _one(line: str, name: str = "r") -> bytes:
    return f"[[rules]]\nname = '{name}'\nspecialty = 'math'\n{line}\n".encode()


def _error(content: bytes) -> str:
    with pytest.raises(RuleError) as caught:
        RulesStage(parse(content, where="rules.toml"), where="rules.toml")
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("rules.toml: ")
    return caught.value.message


def test_defaults_are_what_the_documentation_says() -> None:
    rules = parse(_one("pattern = 'plus'"))
    rule = rules.rules[0]
    assert (rule.weight, rule.part, rule.caseless, rule.veto) == (
        1.0,
        RulePart.LAST_USER,
        True,
        False,
    )
    assert (rule.multiline, rule.dotall, rule.unicode) == (False, False, False)
    assert (rules.threshold, rules.margin, rules.fallback) == (0.6, 0.2, None)


def test_the_version_follows_the_content() -> None:
    first, second = parse(_one("pattern = 'a'")), parse(_one("pattern = 'b'"))
    assert len(first.version) == 12
    assert first.version == parse(_one("pattern = 'a'")).version
    assert first.version != second.version


def test_an_empty_file_is_an_empty_set() -> None:
    assert parse(b"").rules == ()


UNSUPPORTED = [
    (r"foo(?=bar)", "look-ahead (?=...) at position 4", "requires"),
    (r"foo(?!bar)", "look-ahead (?!...) at position 4", "excludes"),
    (r"(?<=a)b", "look-behind (?<=...) at position 1", "text before"),
    (r"(?<!a)b", "look-behind (?<!...) at position 1", "excludes"),
    (r"(a)x\1", r"back-reference \1 at position 5", "alternatives"),
    (r"(?P<n>a)(?P=n)", "back-reference (?P=...) at position 9", "alternatives"),
    (r"(?P<n>a)\k<n>", r"back-reference \k< at position 9", "alternatives"),
    (r"a\g{1}", "back-reference", "alternatives"),
    (r"a++b", "possessive quantifier ++ at position 2", "never backtracks"),
    (r"a{2,3}+b", "possessive quantifier {2,3}+ at position 2", "never backtracks"),
    (r"(?>a+)b", "atomic group (?>...) at position 1", "(?:...)"),
    (r"a\Kb", r"\K at position 2", "drop it"),
    (r"(a(?R)?b)", "recursion (?R) at position 3", "depths"),
    (r"(a)(?1)", "subpattern call (?n) at position 4", "repeat"),
    (r"(?|a|b)", "branch reset (?|...)", "(?:...)"),
    (r"(a)?(?(1)b|c)", "conditional (?(...)...)", "alternatives"),
    (r"(*UCP)a", "verb (*...)", "flags"),
    (r"\Xa", r"\X at position 1", "'.'"),
    (r"a\Rb", r"\R at position 2", r"(?:\r\n|\n|\r)"),
    (r"\u0041", r"\u at position 1", r"\x{...}"),
    (r"(?<n>a)\g<n>", r"subpattern call \g< at position 8", "repeat"),
    (r"(?&n)a", "subpattern call (?&...)", "repeat"),
    (r"(?P>n)a", "subpattern call (?P>...)", "repeat"),
    (r"(?(DEFINE)a)b", "conditional (?(...)...)", "alternatives"),
    (r"(?C1)a", "callout (?C)", "drop it"),
    (r"(?{code})a", "embedded code (?{...})", "not a program"),
    (r"(??{code})a", "embedded code (??{...})", "not a program"),
    (r"(?~abc)x", "absent operator (?~...)", "excludes"),
    (r"(?^i)a", "flag reset (?^...)", "(?-i)"),
    (r"(?U)a+", "inline flag (?U) at position 1", "(?i)"),
    (r"a(?J:b)", "inline flag (?J) at position 2", "(?i)"),
    (r"a{,3}b", "repeat {,3} at position 2", "{0,3}"),
    (r"\mword\M", r"\m at position 1", r"\b"),
    (r"\yword", r"\y at position 1", r"\b"),
    (r"\Lword", r"\L at position 1", "caseless"),
    (r"a\i", r"\i at position 2", "knows no such escape"),
    (r"\Ga", r"\G at position 1", "scanned once"),
    (r"\Ca", r"\C at position 1", "UTF-8"),
    (r"\Na", r"\N at position 1", r"[^\n]"),
    (r"[\Ra]", r"\R in a class at position 2", "write out"),
    (r"[a-z&&b]", "class intersection && at position 5", "both have"),
    (r"[[.a.]]", "collating element [.a.] at position 2", "characters"),
    (r"[[:letter:]]", "class [:letter:] at position 2", "alpha"),
    (r"[z-a]", "Range out of order", "lower character first"),
    (r"a**", "Invalid repeat", "(?:...)"),
    (r"a{2}{3}", "Invalid repeat", "(?:...)"),
    (r"x^a", "Embedded start anchors", "multiline"),
    (r"$a", "Embedded end anchors", "multiline"),
    (r"\p{Foo}x", "Unknown property", r"\p{L}"),
    (r"\x{110000}", "too large", "10FFFF"),
    (r"a)b", "parenthes", r"\)"),
    ("a\\", "Unescaped", "for a backslash"),
    (r"a*", "matches where there is nothing", "character"),
    (r"(a|)", "matches where there is nothing", "character"),
    (r"^", "matches where there is nothing", "character"),
    (r"\b", "matches where there is nothing", "character"),
    (r"a|$", "matches where there is nothing", "character"),
    (r"a{1,40000}", "repeat", "32,767"),
    (r"a(", "parenthesis", ""),
    (r"[a", "character class", ""),
    (r"*a", "Invalid repeat", ""),
    ("", "pattern is empty", "what it shall find"),
    (r"^\W*5", r"\W at position 2 takes every letter beyond ASCII for a blank", "[:punct:]"),
    (r"a[\W_]b", r"\W in a class at position 3", "unicode = true"),
    (r"a[^\w.]b", r"[^\w.] at position 2", "unicode = true"),
    (r"[[:^alpha:]]x", "[:^alpha:] at position 2", "unicode = true"),
    (r"x[^[:alnum:]]", "[^[:alnum:]] at position 2", "unicode = true"),
]


@pytest.mark.parametrize(("pattern", "said", "remedy"), UNSUPPORTED)
def test_an_unsupported_pattern_is_refused_by_name_with_what_to_write_instead(
    pattern: str, said: str, remedy: str
) -> None:
    message = _error(_one(f"pattern = '{pattern}'", name="sums"))
    assert "rule 1 'sums'" in message
    assert said in message
    assert remedy in message


@pytest.mark.parametrize("pattern", [r"^\W*5", r"a[\W_]b", r"a[^\w.]b", r"[[:^alpha:]]x"])
def test_with_unicode_classes_blanks_are_blanks_in_any_script(pattern: str) -> None:
    rules = parse(_one(f"pattern = '{pattern}'\nunicode = true"))
    assert RulesStage(rules).rules.rules[0].unicode


@pytest.mark.parametrize(
    "pattern",
    [
        r"\(?=", r"[(?=]x", r"\Q(?=\E", r"\\1", r"a\+\+", r"[*+]+", r"(?:a|b)", r"(?i)abc",
        r"(?<n>a)b", r"(?P<n>a)b", r"(?#(?= a++)x", "(?x)a # (?= b++\nc", r"(?i-s:a)b", r"(?xi)a b",
        r"\bfoo\b", r"[[:alpha:]]+x", r"a{x,3}", r"[{,3}]x", r"\{,3}", r"[&]&&x",
        r"[]a]b", r"é", r"\p{L}x", r"a+?b", r"a{2}b",
        r"\\W", r"\QW\W\E", r"[^\w\x{c0}-\x{ffff}]x", r"[^\w\p{L}]x", r"[^\wà-ÿ]x",
        r"[^\d]x", r"[\w]x",
    ],
)  # fmt: skip
def test_what_only_looks_unsupported_is_accepted(pattern: str) -> None:
    quoted = json.dumps(pattern)  # a TOML basic string takes what JSON does
    RulesStage(parse(_one(f"pattern = {quoted}")))


MISTAKES = [
    (b"nonsense", "not TOML"),
    (b"\xff\xfe", "not UTF-8"),
    (b"rules = 3", "[[rules]]"),
    (b"treshold = 0.5", "unknown key 'treshold'"),
    (b"threshold = 2", "'threshold' must be a number from 0 to 1"),
    (b"margin = nan", "'margin' must be a number from 0 to 1"),
    (b"fallback = 'No Such Thing'", "fallback must be lower-case"),
    (b"[[rules]]\npattern = 'a'", "rule 1: needs a 'name'"),
    (_one("patern = 'a'"), "rule 1 'r': unknown key 'patern'"),
    (_one(""), "either 'pattern' or 'patterns'"),
    (_one("pattern = 'a'\npatterns = ['b']"), "either 'pattern' or 'patterns'"),
    (_one("patterns = []"), "not empty"),
    (_one("patterns = ['a', 3]"), "not empty"),
    (_one("patterns = ['a', 'b(?=c)']"), "rule 1 'r', pattern 2: look-ahead"),
    (_one("patterns = ['a', 'b(']"), "rule 1 'r', pattern 2: Missing close parenthesis"),
    (_one("pattern = 'a'\nweight = 1.5"), "'weight' must be"),
    (_one("pattern = 'a'\nweight = true"), "'weight' must be"),
    (_one("pattern = 'a'\npart = 'all'"), "'part' must be one of last_user, system, conversation"),
    (_one("pattern = 'a'\nveto = 'yes'"), "'veto' must be true or false"),
    (_one("pattern = 'a'\nveto = true\nweight = 0.5"), "a veto has no weight"),
    (_one("pattern = 'a'\nrequires = ['x']"), "requires 'x', and no rule has that name"),
    (_one("pattern = 'a'\nexcludes = ['r']"), "excludes itself"),
    (_one("pattern = 'a'\nrequires = 'x'"), "must be a list of rule names"),
    (_one("pattern = '\\bx'\nunicode = true"), r"\b with unicode = true"),
    (_one("pattern = 'a'") + _one("pattern = 'b'"), "rule 1 has this name already"),
    (b"[[rules]]\nname = 'm'\npattern = 'a'", "add 'specialty'"),
    (b"[[rules]]\nname = 'm'\npattern = 'a'\nveto = true", "need a 'specialty'"),
    (_one(f"pattern = '{'a' * 4097}'"), "at most 4,096"),
    (_one('pattern = "a\\u0000b"'), "NUL character at position 2"),
    (b" " * (MAX_FILE_BYTES + 1), "at most 8,388,608"),
    (b"a = " + b"[" * 5000, "not TOML"),
]


@pytest.mark.parametrize(("content", "said"), MISTAKES)
def test_a_mistake_is_answered_with_the_key_and_the_remedy(content: bytes, said: str) -> None:
    assert said in _error(content)


def test_all_mistakes_are_reported_at_once_and_the_first_one_first() -> None:
    content = b"".join(_one("pattern = 'a(?=b)'", name=f"r{n}") for n in range(1, 8))
    message = _error(content)
    assert message.startswith("rules.toml: rule 1 'r1': look-ahead")
    assert "rule 5 'r5'" in message
    assert message.endswith("and 2 more")


def test_too_many_rules_are_refused() -> None:
    content = b"".join(_one("pattern = 'a'", name=f"r{n}") for n in range(MAX_RULES + 1))
    assert "10,001 rules; at most 10,000" in _error(content)


def test_ten_thousand_plain_rules_make_one_stage() -> None:
    content = b"".join(_one(f"pattern = 'word{n}'", name=f"r{n}") for n in range(MAX_RULES))
    assert len(RulesStage(parse(content)).rules.rules) == MAX_RULES

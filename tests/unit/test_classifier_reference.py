"""The classifier's features against a slow implementation of the same definition.

Weights are trained on these numbers: one that changed would mean something else to them. The
reference has no tables, no caches and no NumPy in its hashing, and searches for each flag as its
definition reads.
"""

from __future__ import annotations

import re
from math import log1p
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.router import ngrams, shape
from orchestrator.router.lexicon import CLASSES, KEPT, SKELETON

TOKEN = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\d+(?:[.,]\d+)*|\n+|[^\w\s]|\w")
CODE_WORDS = (
    *("def", "class", "import", "from", "public", "private", "function"),
    *("fn", "func", "const", "let", "var", "#include"),
)
OPTIONS = tuple(letter + mark for letter in "ABCDE" for mark in ").:")
SYMBOLS = tuple("∫∑√≤≥∈π")
# What must be in the text as it is ("0": any digit), and what is searched for then.
FLAGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("```",), r"```"),
    (CODE_WORDS, rf"(?m)^\s*(?:{'|'.join(CODE_WORDS)})\b"),
    ((";", "{", "}"), r"(?m)[;{}]\s*$"),
    (("    ", "\t"), r"(?m)^(?:    |\t)\S"),
    (("(",), r"\w\(\w*[),]"),
    (("_",), r"[a-z]_[a-z]"),
    (("=", ">", "++", "&&", "||", "::"), r"==|!=|<=|>=|=>|->|\+\+|&&|\|\||::"),
    ((">>>", '"""', "'''"), r">>>|\"\"\"|'''"),
    (("$", "\\"), r"\$[^$\n]{1,80}\$|\\[a-z]{2,}|\\\["),
    (OPTIONS, r"(?:^|\s)\(?[A-E][).:]\s?\S"),
    ((") ", ")\n"), r"(?:^|\s)\(?[a-e1-5]\)\s"),
    (("0",), r"\d\s*[-+*/x×÷^%]\s*\(?-?\d"),
    (
        ("0", "^", "**", *SYMBOLS),
        r"(?<![\w$])[a-z](?:\^|\*\*|\s*[-+=]\s*\d)|\d[a-z]\b|[∫∑√≤≥∈π]",
    ),
    (("$", "€", "£", "dollars", "cents", "euros"), r"[$€£]\s?\d|\d+ (?:dollars|cents|euros)"),
    (("%", "percent"), r"\d\s?%|\bpercent"),
    (tuple("→∧∨¬⊢∀∃"), r"[→∧∨¬⊢∀∃]"),
    ((". ", "! ", "? ", "\n"), r"[.!?]\s+[A-Z]"),
    (("\n",), r"(?m)^\s*[-*•]\s|\n\s*\n"),
    (("___", "..."), r"_{3,}|\.{3}\s*$"),
    (
        (":",),
        r"(?i)\b(?:input|output|example|examples|constraints|options|premises?|context)\s*\d?:",
    ),
)
ASKING = ("how", "what", "who", "when", "where", "which", "why")
WORD, MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


def hashed(text: str) -> int:
    return crc32(text.encode("utf-8", "replace"))


def described(token: str) -> tuple[str, str, str]:
    """What a token counts as among words, its bone, and its kind."""
    small, first = token.lower(), token[0]
    bone, text = SKELETON.get(small, ""), small
    if first.isdigit():
        bone = "#Y" if re.fullmatch(r"1[4-9]\d\d|20[0-3]\d", token) else "#"
        return bone, bone, "number"
    if first.isalpha():
        bone = bone or ("v" if len(token) == 1 else "w")
        if bone == "#" and small not in KEPT:
            text = "#w"
        return text, bone, "capital" if first.isupper() else "small"
    bone = "\n" if first == "\n" else token
    return bone, bone, "mark"


def bones_of(tokens: list[str]) -> list[str]:
    bones = ["^"]
    for token in tokens:
        _, bone, kind = described(token)
        if bone == "w" and kind == "capital" and bones[-1] not in ("^", ".", "\n", "?"):
            bone = "C"
        if bone != bones[-1] or bone not in ("w", "C", "\n"):
            bones.append(bone)
    return [*bones, "$"]


def runs(parts: list[str], lengths: tuple[int, ...], buckets: int) -> list[int]:
    hashes = [hashed(part) for part in parts]
    found = set()
    for length in lengths:
        for start in range(len(hashes) - length + 1):
            run = hashes[start] * (WORD + 2 * length)
            for each in hashes[start + 1 : start + length]:
                run = ((run & MASK) ^ each) * 0xC2B2AE3D27D4EB4F
            found.add((run & MASK) >> 40 & (buckets - 1))
    return sorted(found)


def characters(text: str, buckets: int) -> list[int]:
    plain = re.sub(r"\d", "0", re.sub(r"\s+", " ", f" {text.lower()} "))
    data = plain.encode("utf-8", "replace")
    step, found = 0x100000001B3, set()
    for length in (3, 4, 5):
        for start in range(len(data) - length + 1):
            run = (length << 8) * step ** (length - 1)
            for place, byte in enumerate(data[start : start + length]):
                run += byte * step ** (length - 1 - place)
            found.add((run * WORD & MASK) >> 40 & (buckets - 1))
    return sorted(found)


def flags(text: str) -> list[bool]:
    digit = re.search(r"\d", text) is not None
    return [
        any(need in text or (digit and need == "0") for need in needs)
        and re.search(pattern, text) is not None
        for needs, pattern in FLAGS
    ]


def measured(text: str, tokens: list[str], length: int) -> list[float]:
    kinds = [described(token)[2] for token in tokens]
    numbers, marks = kinds.count("number"), kinds.count("mark")
    capitals = kinds.count("capital")
    letters = kinds.count("small") + capitals
    total = max(1, len(tokens))
    classes = [sum(token.lower() in words for token in tokens) for words in CLASSES.values()]
    found = flags(text)
    found[5] |= any(re.search(r"[a-z][A-Z][a-z]", token) for token in tokens)
    sentences = text.count(". ") + text.count("? ") + text.count("! ") + text.count(".\n")
    return [
        *(log1p(count) / 2 for count in classes),
        *(count * (2 / total) for count in classes),
        *found,
        log1p(length) / 6,
        *(length < 25, length < 60, length > 150, length > 400, length > 1000),
        *(log1p(sentences) / 2, log1p(text.count("\n")) / 3),
        *(numbers / total * 2, log1p(numbers) / 2, not numbers, marks / total),
        *(capitals / max(1, letters), capitals > 1, letters / total),
        text.rstrip().endswith("?"),
        bool(tokens) and described(tokens[0])[1] in ASKING,
        *(letters == 0, 1.0),
    ]


def reference(text: str) -> tuple[list[int], list[float]]:
    read = text
    if len(text) > ngrams.HEAD + ngrams.TAIL:
        read = f"{text[: ngrams.HEAD]}\n{text[-ngrams.TAIL :]}"
    tokens = TOKEN.findall(read)
    sizes = (ngrams.WORD_BUCKETS, ngrams.SKELETON_BUCKETS, ngrams.CHARACTER_BUCKETS)
    groups = (
        runs([described(token)[0] for token in tokens], (1, 2), sizes[0]),
        runs(bones_of(tokens), (2, 3, 4), sizes[1]),
        characters(read, sizes[2]),
    )
    indices: list[int] = []
    values: list[float] = []
    for group, size, scale, start in zip(
        groups, sizes, (1.0, 1.0, 0.6), (0, sizes[0], sizes[0] + sizes[1]), strict=True
    ):
        assert all(bucket < size for bucket in group)
        indices += [start + bucket for bucket in group]
        values += [scale / max(1, len(group)) ** 0.5] * len(group)
    last = measured(read, tokens, len(text))
    indices += range(sum(sizes), sum(sizes) + len(last))
    return indices, values + [value * 0.5 for value in last]


def agrees(text: str) -> None:
    indices, values = ngrams.vector(text)
    expected, expected_values = reference(text)
    assert indices.tolist() == expected
    assert values == pytest.approx(np.array(expected_values), abs=1e-6)


PIECES = (
    *("def ", "class", "import x", "#include", "\n", "\n\n", "\n \n", "    ", "\t", "```", ">>>"),
    *("x^2", "x ** 2", " y = 3", "3x", "3 × 4", "5÷", "-2", " (a) ", "(e)\t", "A) ", "B.", "Ex: "),
    *("percent", "xpercent", "5 %", "%", "$x$", "\\frac", "€5", "£ 3", "12 dollars", "___", "..."),
    *("input: ", "Example 3:", "PREMISES :", "exampleſ:", "context\n2:", "∀", "→", "∫", "- ", "* "),
    *("?", "! A", ". B", ";", "{", "}", "f(x)", "f(", "snake_case", "camelCase", "&&", "::", "++"),
    *("Tom", "how", "What", "the", "2024", "1,000", "3.5", "é", "ſ", "K", "İ", "\u2003", "\x1d"),
    *("'s", "don't", "O'input:", "0x10", "\u00a0", "_", "\ud800", "１２", "日本", "٣", "²", " "),
    *("metres", "seven", "euros", "python", "a", "b", "^", "$", ".", "•", "\r\n", "\0"),
)


@settings(deadline=None, max_examples=250)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_prompts_of_telling_pieces_have_the_features_of_the_definition(text: str) -> None:
    agrees(text)


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=80))
def test_any_text_has_the_features_of_the_definition(text: str) -> None:
    agrees(text)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(PIECES), min_size=150, max_size=600).map("".join))
def test_of_a_long_text_the_ends_have_the_features_of_the_definition(text: str) -> None:
    agrees(text)


def test_full_caches_are_emptied_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngrams, "_KNOWN", {})
    monkeypatch.setattr(ngrams, "_PARTS", {})
    monkeypatch.setattr(ngrams, "_KNOWN_LIMIT", 5)
    for text in ("How many apples, pears and figs has Tom?", "one two three four five six seven"):
        agrees(text)
        agrees(text)
        assert len(ngrams._KNOWN) <= 5
        assert len(ngrams._PARTS) <= 5


def test_what_is_worked_out_of_a_long_text_is_no_more_than_of_its_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    flagged = shape.flags
    monkeypatch.setattr(shape, "flags", lambda text: seen.append(len(text)) or flagged(text))
    monkeypatch.setattr(
        ngrams, "_buckets", lambda *a, of=ngrams._buckets: seen.append(sum(map(len, a))) or of(*a)
    )
    for filler in ("word " * 200_000, "\n" * 1_000_000, "日" * 1_000_000, "9,9 " * 250_000):
        ngrams.vector(filler)
    most = ngrams.HEAD + ngrams.TAIL + 1
    assert max(seen) <= 2 * (most + 1) + 4 * (most + 2)
    assert most < 1 << ngrams._FIELD_BITS, "a tally's field would run over"


def test_a_token_counts_once_in_each_field_of_its_tally() -> None:
    for words in CLASSES.values():
        for word in words:
            for token in (word, word.upper(), word.capitalize()):
                agrees(token)


def test_the_tokens_of_a_text_are_those_between_its_blanks() -> None:
    text = "\n\nA list:\n \n- one,\r\n\r\n- 'two'\t3.5\u2003x\n"
    whole = [re.sub(r"\n+", "\n", token) for token in TOKEN.findall(text)]
    assert [token for part in ngrams._parted(text) for token in TOKEN.findall(part)] == whole

"""What a disguised text shows, and that honest text stays itself."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.router.folding import EDGE_BYTES, GAP, shown

DISGUISED = [
    ("ѕоlvе thе еquаtiоn", "solve the equation"),  # Cyrillic
    ("wrіte а function", "write a function"),  # a word that is one Cyrillic letter
    ("sοlve the sum", "solve the sum"),  # Greek omicron
    ("Ѕоlvе это: hеllo мир", "Solve это: hello мир"),  # beside honest Russian
    ("ｓｕｍ", "sum"),
    ("𝐬𝐮𝐦 ⓢⓤⓜ", "sum sum"),
    ("ꜱᴜᴍ", "sum"),
    ("s\u0336u\u0336m\u0336", "sum"),
    ("s̸̢̧̛u͜͠m", "sum"),
    ("s\u200bu\u00adm\ufeff", "sum"),
    ("s\u202eu\U000e0041m", "sum"),
    ("what\u2019s", "what's"),
]


@pytest.mark.parametrize(("text", "plain"), DISGUISED)
def test_a_disguise_is_taken_off(text: str, plain: str) -> None:
    assert shown(text) == plain


HONEST = [
    "как решить уравнение x^2 + 3x = 5",
    "что такое сор и хор",
    "SQLзапрос к html-странице",
    "Λύστε την εξίσωση",
    "αx + βy = ρgh",
    "за́мок кра́йний",
    "café naïve Zürich Đà Nẵng",
    "Việt Nam tiếng",
    "שָׁלוֹם",
    "नमस्ते",
    "合計を計算してください",
    "مَرْحَبًا",
]


@pytest.mark.parametrize("text", HONEST)
def test_honest_text_of_any_script_stays_itself(text: str) -> None:
    assert shown(text) == unicodedata.normalize("NFKC", text)


def test_ascii_is_its_own_form() -> None:
    text = "".join(map(chr, range(128)))
    assert shown(text) is text


@given(st.text(alphabet=st.characters(min_codepoint=0x400, max_codepoint=0x44F), max_size=60))
def test_a_text_of_cyrillic_letters_alone_is_never_folded(text: str) -> None:
    assert shown(text) == unicodedata.normalize("NFKC", text)


@given(st.text(st.characters(), max_size=300))  # lone surrogates too
def test_any_text_is_folded_to_valid_utf8_and_twice_is_once(text: str) -> None:
    once = shown(text)
    once.encode("utf-8")
    assert shown(once) == once or unicodedata.normalize("NFKC", once) != once


@pytest.mark.parametrize(
    "text",
    ["аb " * 400_000, "s\u0336" * 500_000, "\ufdfa" * 400_000, "я" * 1_000_000, "ﬁ" * 1_000_000],
)
def test_what_is_looked_at_is_bounded(text: str) -> None:
    assert len(shown(text).encode("utf-8")) <= 2 * EDGE_BYTES + len(GAP)


def test_a_cut_keeps_both_ends_apart() -> None:
    text = shown("begin" + "x" * 100_000 + "end")
    assert text.startswith("begin")
    assert text.endswith("end")
    assert text.count(GAP) == 1

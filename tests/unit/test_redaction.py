"""Nothing private survives redaction, and the phrase does."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.router.folding import shown
from orchestrator.rules.redaction import redact
from orchestrator.rules.words import KEPT

REDACTED = [
    ("What is the capital of Ruritania?", "What is the capital of Xxxxxxxxx?"),
    ("Write a function that adds 15 and 2017.", "Write a function that xxxx 00 and 0000."),
    ("Who is Jane Roe?", "Who is Xxxx Xxx?"),
    ("Did Stephen King write it?", "Did Xxxxxxx Xxxx write it?"),
    ("mail me@example.com now", "xxxx xx@xxxxxxx.xxx now"),
    ("see https://example.com/what/is?the=key", "see xxxxx://xxxxxxx.xxx/xxxx/xx?xxx=xxx"),
    ("key sk-proj-Ab12Cd34 ok", "key xx-xxxx-Xx00Xx00 ok"),
    ("write-the-function", "xxxxx-xxx-xxxxxxxx"),  # three words joined may be a password
    ("a follow-up, please", "a follow-up, please"),
    ("what's 0x1F", "what's 0x0X"),
    ("p\u200bass\u0336wort", "xxxxxxxx"),
    ("ｓｅｃｒｅｔ", "xxxxxx"),
    ("пароль 密码", "xxxxxx xx"),
    ("a" * 40 + "?!" * 20, "x" * 12 + "?!?"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "masked"), REDACTED)
def test_what_is_not_listed_is_masked_by_shape(text: str, masked: str) -> None:
    assert redact(text) == masked


WORDS = sorted(word for word in KEPT if word.isalpha())
NO_SPACE = st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"))


def _runs(secret: str, length: int) -> set[str]:
    return {secret[at : at + length] for at in range(len(secret) - length + 1)}


def _says_something(run: str) -> bool:
    """Not what a mask may have by itself: mask characters, with signs between them."""
    return any(c.isalnum() and c not in "xX0" for c in run) or not any(c in "xX0" for c in run)


@given(
    secret=st.text(NO_SPACE, min_size=4, max_size=40),
    before=st.lists(st.sampled_from(WORDS), max_size=6),
    after=st.lists(st.sampled_from(WORDS), max_size=6),
    glue=st.sampled_from([" ", "\n", "  ", "\u2003"]),
)
def test_no_four_characters_of_a_secret_word_survive(
    secret: str, before: list[str], after: list[str], glue: str
) -> None:
    plain = shown(secret)
    assume(plain.split() == [plain])
    core = "".join(c if c.isalnum() else " " for c in plain.lower())
    assume(not any(word in KEPT for word in core.split()))
    out = redact(glue.join([*before, secret, *after]))
    # Words around it are kept and could hold such a run by chance; they are taken out.
    for word in {*before, *after}:
        out = " ".join(piece for piece in out.split() if piece != word)
    for run in _runs(plain, 4) | _runs(unicodedata.normalize("NFC", secret), 4):
        if _says_something(run):
            assert run not in out


@given(
    parts=st.lists(st.sampled_from(WORDS), min_size=3, max_size=5), sign=st.sampled_from("-_./:")
)
def test_a_password_made_of_listed_words_is_masked_whole(parts: list[str], sign: str) -> None:
    out = redact(f"is {sign.join(parts)} right")
    masked = out.split()[1]
    assert not _runs(masked, 4) & {run for run in _runs(sign.join(parts), 4) if run.strip("x-_./:")}


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=20))
def test_listed_words_stay(words: list[str]) -> None:
    assert redact(" ".join(words)) == " ".join(words)


@given(st.text(st.characters(), max_size=200))  # lone surrogates too
def test_redaction_takes_any_text_and_keeps_the_number_of_pieces(text: str) -> None:
    assert len(redact(text).split()) == len(shown(text).split())

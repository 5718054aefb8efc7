"""What of a prompt counts, and what the shipped exemplars hold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mesh.errors import ConfigError
from mesh.types import Alternative, Specialty
from orchestrator.router.neighbours import (
    HEAD_CHARACTERS,
    SHIPPED,
    TAIL_CHARACTERS,
    Exemplars,
    Likely,
    joined,
    subject,
)

OPTIONS = "\nA. one\nB. two\nC. three\nD. four"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Which planet is nearest?" + OPTIONS, "Which planet is nearest?"),
        ("Which planet is nearest?\nOptions:\n(A) one\n(B) two", "Which planet is nearest?"),
        ("Which planet is nearest?\n\n1) one\n2) two\n\n", "Which planet is nearest?"),
        ("Which planet is nearest?\nA) one", "Which planet is nearest?\nA) one"),
        ("Why?" + OPTIONS, "Why?" + OPTIONS),
        ("A. one\nB. two", "A. one\nB. two"),
        ("for i in x:\n    print(i)\n    print(i)", "for i in x:\n    print(i)\n    print(i)"),
    ],
)
def test_answers_to_choose_from_are_left_out(prompt: str, expected: str) -> None:
    assert subject(prompt) == expected


def test_a_long_prompt_is_its_two_ends() -> None:
    text = "start " + "x" * 1_000_000 + " end?"
    found = subject(text)
    assert found.startswith("start x")
    assert found.endswith("x end?")
    assert len(found) <= HEAD_CHARACTERS + TAIL_CHARACTERS + 1


def test_what_shows_as_nothing_does_not_count() -> None:
    assert subject("so\u200blve\u2060 this") == "solve this"


def test_probabilities_add_up_with_the_likeliest_first() -> None:
    shipped = Exemplars.load()
    for vector in shipped.vectors[::200]:
        likely = shipped.likely(vector / np.linalg.norm(vector))
        shares = [share for _, share in likely.probabilities]
        assert sum(shares) == pytest.approx(1.0)
        assert shares == sorted(shares, reverse=True)
        assert likely.nearest > 0.5  # a mean of a cluster is shorter than one


def test_the_shipped_exemplars_are_small_and_have_every_label() -> None:
    shipped = Exemplars.load()
    assert set(shipped.labels) == {
        "math", "code", "knowledge", "logic", "chat", "calculator", "units"
    }  # fmt: skip
    assert SHIPPED.stat().st_size < 3_000_000
    assert 0 < shipped.threshold < 1
    assert set(shipped.kinds.tolist()) == set(range(len(shipped.labels)))


def test_an_earlier_stages_leaning_counts_beside_the_vector() -> None:
    math, chat, code = Specialty("math"), Specialty("chat"), Specialty("code")
    likely = Likely(probabilities=((math, 0.6), (chat, 0.3), (code, 0.1)), nearest=0.5)
    leaning = (
        Alternative(specialty=chat, probability=0.8),
        Alternative(specialty=math, probability=0.2),
    )
    (best, share), (second, _), (third, least) = joined(likely, leaning).probabilities
    assert (best, second, third) == (chat, math, code)
    weights = [0.3**0.6 * 0.8**0.4, 0.6**0.6 * 0.2**0.4, 0.1**0.6 * 0.005**0.4]
    assert share == pytest.approx(weights[0] / sum(weights))
    assert least > 0  # what a stage did not name is not ruled out


def test_a_leaning_that_tells_little_does_not_count() -> None:
    likely = Likely(probabilities=((Specialty("math"), 0.7), (Specialty("chat"), 0.3)), nearest=0.5)
    little = (Alternative(specialty=Specialty("chat"), probability=0.4),)
    assert joined(likely, little) is likely
    assert joined(likely, ()) is likely


def test_a_vector_gets_its_own_exemplars_label() -> None:
    shipped = Exemplars.load()
    own = shipped.weights.argmax()
    said = shipped.likely(shipped.vectors[own] / np.linalg.norm(shipped.vectors[own]))
    assert said.probabilities[0][0] == shipped.labels[shipped.kinds[own]]


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 broken"])
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.npz does not hold exemplars"):
        Exemplars.load(path)


def test_a_missing_file_and_a_newer_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Exemplars.load(tmp_path / "absent.npz")
    newer = tmp_path / "newer.npz"
    np.savez(newer, about=np.array(json.dumps({"format": 99})))
    with pytest.raises(ConfigError, match="format 99, not 1"):
        Exemplars.load(newer)


def test_vectors_without_labels_are_refused(tmp_path: Path) -> None:
    shipped = Exemplars.load()
    wrong = replace(shipped, kinds=shipped.kinds[:-1])
    path = tmp_path / "wrong.npz"
    about = {
        "format": 1,
        "labels": wrong.labels,
        **{n: getattr(wrong, n) for n in ("spread", "temperature", "threshold", "margin", "floor")},
    }
    np.savez(
        path,
        about=np.array(json.dumps(about)),
        **{n: getattr(wrong, n) for n in ("vectors", "kinds", "weights", "head", "bias")},
    )
    with pytest.raises(ConfigError, match="as many labels"):
        Exemplars.load(path)

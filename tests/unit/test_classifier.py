"""The classifier stage: what it decides, when it abstains, and what it makes of bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mesh.errors import ConfigError
from mesh.types import Alternative, Message, Role, Specialty
from orchestrator.router import ngrams
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.classifier import FORMAT, ClassifierStage, save, shipped_weights

LABELS = {"calculator", "chat", "code", "knowledge", "logic", "math", "units"}

CLEAR = {
    "calculator": [
        "what's fifteen percent of two hundred",
        "how much is 12.5 times 8",
        "Compute 381 - 29 * 4",
    ],
    "chat": [
        "I had such a long day, my boss was mean to me again.",
        "do you ever get lonely?",
        "what should i wear tonight",
    ],
    "code": [
        "Write a Go program that counts lines in a file.",
        'def mean(xs):\n    """Return the mean of xs.\n    >>> mean([1, 3])\n    2\n    """\n',
        "how do i merge two dictionaries in python",
    ],
    "knowledge": [
        "Who painted the ceiling of the Sistine Chapel?",
        "which gas do plants take in\nA) oxygen\nB) carbon dioxide\nC) helium\nD) neon",
        "when did the berlin wall fall",
    ],
    "logic": [
        "Every zorp is a blick. Ann is a zorp. Is the statement 'Ann is a blick' true or false?",
        "The editorial says crime fell because of cameras. Which of the following, if true, most "
        "weakens the argument?",
        "Tom lies. Ann says Tom tells the truth. Does Ann tell the truth?",
    ],
    "math": [
        "A farmer has 17 sheep and sells 5. He then buys twice as many. How many has he now?",
        "Find all real solutions of $x^2 - 5x + 6 = 0$.",
        "What is the probability of two heads in three flips of a fair coin?",
    ],
    "units": [
        "how many ounces are in three pounds",
        "convert 72 fahrenheit to celsius",
        "what is 5 foot 11 in centimeters",
    ],
}

ODD = [
    "\x00",
    "\ud800\udfff",
    "🙂" * 400,
    "a" * 100_000,
    "\n" * 5000,
    "9" * 5000,
    "\u0301" * 3000,
    "如何用Python反转字符串？",
    "¿Cuál es la capital de Francia?",
    '"""' * 500,
    "((((((((((" * 300,
]


@pytest.fixture(scope="module")
def stage() -> ClassifierStage:
    return ClassifierStage()


def _features(text: str, prior: str | None = None) -> Features:
    messages = (Message.of(Role.USER, text),)
    return Features.of(messages, Specialty(prior) if prior else None)


def _bits(tmp_path: Path, **changes: object) -> Path:
    """A small good weights file with some of its parts changed; None leaves a part out."""
    parts: dict[str, object] = {
        "format": np.int64(FORMAT),
        "labels": np.array(["chat", "code"]),
        "matrix": np.zeros((ngrams.SIZE, 2), np.float16),
        "temperature": np.float64(1.0),
        "threshold": np.float64(0.4),
        "margin": np.float64(0.1),
        **changes,
    }
    path = tmp_path / "weights.npz"
    np.savez(path, **{name: part for name, part in parts.items() if part is not None})
    return path


@pytest.mark.parametrize(
    ("label", "text"), [(label, text) for label, texts in CLEAR.items() for text in texts]
)
def test_a_clear_prompt_gets_its_label(stage: ClassifierStage, label: str, text: str) -> None:
    said = stage.decide(_features(text))
    assert isinstance(said, Verdict), said
    assert said.specialty == label, said


def test_the_shipped_weights_know_the_seven_labels(stage: ClassifierStage) -> None:
    assert set(stage.labels) == LABELS
    assert shipped_weights().stat().st_size < 4 * 1024 * 1024


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_any_text_gets_probabilities_that_sum_to_one(stage: ClassifierStage, text: str) -> None:
    said = stage.decide(_features(text))
    assert isinstance(said, Verdict | Abstain)
    chances = stage.probabilities(text)
    assert np.isfinite(chances).all()
    assert chances.sum() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("text", ["", "   ", "\u200b\u200b", "\n\t "])
def test_nothing_to_read_is_left_undecided(stage: ClassifierStage, text: str) -> None:
    assert isinstance(stage.decide(_features(text)), Abstain)


def test_alternatives_are_sorted_and_above_one_percent() -> None:
    stage = ClassifierStage(threshold=0.0, margin=0.0)
    said = stage.decide(_features("what is the largest number of the house"))
    chances = [alternative.probability for alternative in said.alternatives]
    assert chances == sorted(chances, reverse=True)
    assert all(chance >= 0.01 for chance in chances)
    assert isinstance(said, Verdict)
    assert said.alternatives[0].specialty == said.specialty
    assert said.confidence == chances[0]


def test_below_the_threshold_it_abstains_and_says_what_it_leaned_to() -> None:
    said = ClassifierStage(threshold=1.0).decide(_features("who wrote hamlet"))
    assert isinstance(said, Abstain)
    assert "below the threshold 1.00" in said.note
    assert said.alternatives[0].specialty == "knowledge"


def test_within_the_margin_it_abstains_and_names_both(tmp_path: Path) -> None:
    said = ClassifierStage(_bits(tmp_path)).decide(_features("anything"))
    assert isinstance(said, Abstain)
    assert "less than the margin 0.10" in said.note
    assert {a.specialty for a in said.alternatives} == {"chat", "code"}


def test_a_short_follow_up_leans_to_the_conversation(tmp_path: Path) -> None:
    stage = ClassifierStage(_bits(tmp_path))
    said = stage.decide(_features("and for 12?", prior="code"))
    assert isinstance(said, Verdict)
    assert said.specialty == "code"


def test_a_clear_change_of_subject_beats_the_conversation(stage: ClassifierStage) -> None:
    said = stage.decide(_features("who wrote pride and prejudice", prior="code"))
    assert isinstance(said, Verdict)
    assert said.specialty == "knowledge"


def test_a_turn_about_what_was_said_before_stays_with_it(stage: ClassifierStage) -> None:
    asked = _features("How much did the school spend on basketballs?")
    before = (Alternative(specialty=Specialty("math"), probability=0.9),)
    alone = stage.decide(asked)
    bound = stage.decide(replace(asked, so_far=before, prior=Specialty("math"), bond=0.6))
    assert isinstance(alone, Verdict)
    assert isinstance(bound, Verdict)
    assert (alone.specialty, bound.specialty) == ("knowledge", "math")
    assert sum(each.probability for each in bound.alternatives) <= 1.0 + 1e-6


def test_a_prior_that_the_weights_do_not_know_changes_nothing(stage: ClassifierStage) -> None:
    plain = stage.decide(_features("who wrote hamlet"))
    assert plain == stage.decide(_features("who wrote hamlet", prior="poetry"))


def test_full_width_and_zero_width_letters_read_as_plain_ones(stage: ClassifierStage) -> None:
    plain = stage.decide(_features("who wrote hamlet"))
    assert stage.decide(_features("ｗｈｏ wr\u200bote hamlet")) == plain


def test_only_the_ends_of_a_long_prompt_are_read(stage: ClassifierStage) -> None:
    filler = "lorem ipsum dolor " * 50_000
    one = stage.decide(_features(f"Fix my code. {filler} Why does it raise KeyError?"))
    two = stage.decide(_features(f"Fix my code. {filler}{filler} Why does it raise KeyError?"))
    assert [a.specialty for a in one.alternatives] == [a.specialty for a in two.alternatives]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": np.int64(99)}, "made for other features"),
        ({"matrix": np.zeros((10, 2), np.float16)}, "made for other features"),
        ({"matrix": None}, "lacks a part"),
        ({"labels": np.array(["Chat!", "code"])}, "bad labels"),
        ({"matrix": np.full((ngrams.SIZE, 2), np.nan, np.float16)}, "not finite"),
        ({"temperature": np.float64(0.0)}, "temperature must be above 0"),
        ({"threshold": np.array("much")}, "lacks a part or has a wrong one"),
    ],
)
def test_bad_weights_are_refused_with_what_to_do(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        ClassifierStage(_bits(tmp_path, **changes))
    assert "\n" not in caught.value.message
    assert "router.classifier.weights" in caught.value.message


def test_a_file_that_is_no_weights_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ConfigError, match="is no weights file"):
        ClassifierStage(path)


def test_weights_that_would_run_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    np.savez(path, labels=np.array([object()], dtype=object))
    with pytest.raises(ConfigError, match="is no weights file"):
        ClassifierStage(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*absent\.npz: No such file"):
        ClassifierStage(tmp_path / "absent.npz")


def test_saved_weights_load_as_they_were(tmp_path: Path) -> None:
    matrix = np.zeros((ngrams.SIZE, 2), np.float32)
    matrix[-1, 1] = 4.0  # the intercept
    path = tmp_path / "weights.npz"
    save(path, ("chat", "code"), matrix, temperature=2.0, threshold=0.2, margin=0.0)
    said = ClassifierStage(path).decide(_features("anything at all"))
    assert isinstance(said, Verdict)
    assert said.specialty == "code"
    assert said.confidence == pytest.approx(1 / (1 + np.exp(-1.0)), abs=1e-3)  # 4 * 0.5 / 2

"""Stage ``classifier``: a linear model over hashed n-grams and the prompt's shape.

Multinomial logistic regression (Bishop 2006, section 4.3.4), trained by
``training/router/classifier.py``, its temperature fitted on data sets held out of the training
(Guo et al. 2017). How the features are made: ``ngrams``. What it was trained on, and how well it
does on what it has not seen: ``weights/README.md``.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mesh.errors import ConfigError
from mesh.settings.load import check_range
from mesh.types import SPECIALTY_PATTERN, Alternative, Specialty
from orchestrator.router import ngrams
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.folding import shown
from orchestrator.router.spec import StageParts, StageSpec

FORMAT = 2  # raised whenever the features change, since old weights would then mean nothing
# What it must be sure of where a stage behind it knows better: with sources held out, the two
# together are right more often than either.
SURE = 0.9
SHOWN = 0.01  # alternatives below this probability are left out
# Log-odds of a conversation so far count ``PRIOR_WEIGHT`` times beside those of the turn itself,
# less the longer the turn is, since a long prompt says itself what it is, and ``BOND_WEIGHT`` times
# more where the turn is all about what was said before. Chosen on labelled follow-ups, and on turns
# that change the subject, of which none was lost.
PRIOR_WEIGHT = 1.0
PRIOR_FADES_AT = 200  # characters
BOND_WEIGHT = 2.0
PRIOR_FLOOR = 0.02  # nothing that was said before makes another specialty impossible
# Nor does what the turn itself says, where something was said before.
OWN_FLOOR = 1e-3

_MOST_LABELS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSettings:
    """``threshold``: least probability, ``margin``: least lead over the next specialty, None: what
    the weights were calibrated for. ``weights``: a file, None: those that ship."""

    threshold: float | None = None
    margin: float | None = None
    weights: str | None = None

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        for key, value in (("threshold", self.threshold), ("margin", self.margin)):
            if value is not None:
                check_range(where, key, 0, value, 1)


class ClassifierStage:
    """``weights``: an ``.npz`` of the training script, None: the one that ships. ``threshold`` and
    ``margin``: least probability, and least lead over the next label; None: as in the weights.

    Immutable, and safe to use from several threads. Raises ``ConfigError`` for a file that cannot
    be read or was made for other features.
    """

    def __init__(
        self,
        weights: Path | None = None,
        threshold: float | None = None,
        margin: float | None = None,
    ) -> None:
        path = weights if weights is not None else shipped_weights()
        loaded = _load(path)
        self.labels = loaded.labels
        self._matrix = _padded(loaded.matrix)
        self._threshold = loaded.threshold if threshold is None else threshold
        self._margin = loaded.margin if margin is None else margin
        self._index = {label: number for number, label in enumerate(self.labels)}

    def decide(self, features: Features) -> Verdict | Abstain:
        """The most probable label, if it is probable enough and leads the next one by enough."""
        text = shown(features.last_user)
        if not text or text.isspace():
            return Abstain("nothing to classify")
        chances = self._chances(text, features).tolist()
        order = sorted(range(len(chances)), key=chances.__getitem__, reverse=True)
        ranked = tuple(
            Alternative(specialty=self.labels[number], probability=chances[number])
            for number in order
            if chances[number] >= SHOWN
        )
        best, second = chances[order[0]], chances[order[1]]
        label = self.labels[order[0]]
        if best < self._threshold:
            return Abstain(
                f"'{label}' at {best:.2f} is below the threshold {self._threshold:.2f}", ranked
            )
        if best - second < self._margin:
            return Abstain(
                f"'{label}' leads '{self.labels[order[1]]}' by {best - second:.2f}, less than the "
                f"margin {self._margin:.2f}",
                ranked,
            )
        return Verdict(label, best, None, ranked)

    def _chances(self, text: str, features: Features) -> NDArray[np.float32]:
        alone = self.probabilities(text)
        before = features.so_far
        if not before and features.prior is not None:
            before = (Alternative(specialty=features.prior, probability=1.0),)
        known = [each for each in before if each.specialty in self._index]
        if not known:
            return alone
        told = np.full(len(alone), PRIOR_FLOOR, np.float32)
        for each in known:
            told[self._index[each.specialty]] += each.probability
        weight = PRIOR_WEIGHT / (1.0 + len(text) / PRIOR_FADES_AT) + BOND_WEIGHT * features.bond
        return _normal(np.log(alone + OWN_FLOOR) + np.float32(weight) * np.log(told))

    def probabilities(self, text: str) -> NDArray[np.float32]:
        """One for each of ``labels``, together 1. ``text`` is folded already."""
        indices, values = ngrams.vector(text)
        every: NDArray[np.float32] = values @ self._matrix.take(indices, axis=0)
        return _normal(every[: len(self.labels)])


def _normal(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax, in place."""
    scores -= scores.max()
    np.exp(scores, out=scores)
    scores /= scores.sum()
    return scores


class _Weights:
    """What a weights file holds, checked. ``matrix`` has the temperature in it already."""

    __slots__ = ("labels", "margin", "matrix", "threshold")

    def __init__(
        self,
        labels: tuple[Specialty, ...],
        matrix: NDArray[np.float32],
        threshold: float,
        margin: float,
    ) -> None:
        self.labels = labels
        self.matrix = matrix
        self.threshold = threshold
        self.margin = margin


def _padded(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of a power of two of columns, the new ones 0: those NumPy takes in half the time."""
    rows, columns = matrix.shape
    padded = np.zeros((rows, 1 << (columns - 1).bit_length()), np.float32)
    padded[:, :columns] = matrix
    return padded


def shipped_weights() -> Path:
    """The weights that ship with the package."""
    return Path(__file__).with_name("weights") / "classifier.npz"


def save(
    path: Path,
    labels: tuple[str, ...],
    matrix: NDArray[np.float32],
    temperature: float,
    threshold: float,
    margin: float,
) -> None:
    """Writes a weights file: ``matrix`` has a row a feature and a column a label."""
    np.savez_compressed(
        path,
        format=np.int64(FORMAT),
        labels=np.array(labels),
        matrix=matrix.astype(np.float16),
        temperature=np.float64(temperature),
        threshold=np.float64(threshold),
        margin=np.float64(margin),
    )


def _load(path: Path) -> _Weights:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except OSError as error:
        raise ConfigError(
            f"router.classifier.weights: cannot read {path}: {error.strerror or error}"
        ) from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise ConfigError(
            f"router.classifier.weights: {path} is no weights file; make one with "
            "training/router/classifier.py"
        ) from None
    try:
        labels = tuple(Specialty(str(label)) for label in found["labels"])
        version, matrix = int(found["format"]), found["matrix"].astype(np.float32)
        temperature, threshold = float(found["temperature"]), float(found["threshold"])
        margin = float(found["margin"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"router.classifier.weights: {path} lacks a part or has a wrong one ({error}); make it "
            "anew with training/router/classifier.py"
        ) from None
    if version != FORMAT or matrix.shape != (ngrams.SIZE, len(labels)):
        raise ConfigError(
            f"router.classifier.weights: {path} was made for other features (format {version}, "
            f"shape {matrix.shape}; this version needs format {FORMAT}, "
            f"{ngrams.SIZE:,} rows); train it anew with training/router/classifier.py"
        )
    good = all(SPECIALTY_PATTERN.fullmatch(label) for label in labels)
    if not good or not 2 <= len(labels) <= _MOST_LABELS or not np.isfinite(matrix).all():
        raise ConfigError(
            f"router.classifier.weights: {path} has bad labels or numbers that are not finite; "
            "train it anew with training/router/classifier.py"
        )
    if not temperature > 0.0:
        raise ConfigError(f"router.classifier.weights: {path}: temperature must be above 0")
    matrix /= np.float32(temperature)
    return _Weights(labels, matrix, threshold, margin)


def _made(settings: ClassifierSettings, parts: StageParts) -> ClassifierStage:
    threshold = settings.threshold
    if threshold is None and parts.leaned_on:
        threshold = SURE
    weights = Path(settings.weights).expanduser() if settings.weights else None
    return ClassifierStage(weights, threshold=threshold, margin=settings.margin)


SPEC = StageSpec(name="classifier", quick=True, settings=ClassifierSettings, make=_made)

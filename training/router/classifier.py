"""Trains the router's classifier: ``python -m training.router.classifier FILE [--out WEIGHTS]``.

FILE: labelled prompts, JSON lines with ``prompt``, ``label`` and ``source``. To these come phrases
written for this purpose (``training/router/phrases``), since some labels have one source only.

Method. Every label weighs the same; within a label, the phrases have half of the weight and its
sources share the other half equally, whatever their sizes. Texts are altered as people would:
casing, punctuation, typos, a few words around them; marks that only one source has are taken off.
Then multinomial logistic regression (scikit-learn's ``lbfgs``) over ``orchestrator.router.ngrams``.
Seeded.

``held_out`` trains once a source without that source, and predicts it: what the figures, the
temperature, the threshold and the margin rest on. A label's only source is then learnt from the
phrases alone.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from orchestrator.router import ngrams
from orchestrator.router.classifier import save, shipped_weights
from orchestrator.router.folding import shown
from orchestrator.rules.labelled import Labelled as Row
from training.router.labelled import DEFAULT_DATA, WRITTEN, read
from training.router.phrases.templates import LABELS, altered, phrases

PHRASES = 4500  # a label
WRITTEN_TIMES = 2  # each altered anew; stage embedding learns from them too
SEED = 4
REGULARISATION = 4.0  # scikit-learn's C, chosen on held-out sources
THRESHOLD, MARGIN = 0.32, 0.03

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Trained:
    """``matrix``: a row a feature, a column for each of ``LABELS``."""

    matrix: Floats

    def scores(self, texts: Sequence[str]) -> Floats:
        """Log-odds before the temperature, a row a text."""
        return np.asarray(features(texts) @ self.matrix, np.float32)


def features(texts: Sequence[str]) -> csr_matrix:
    indices: list[NDArray[np.int64]] = []
    values: list[Floats] = []
    starts = [0]
    for text in texts:
        index, value = ngrams.vector(shown(text))
        indices.append(index)
        values.append(value)
        starts.append(starts[-1] + len(index))
    return csr_matrix(
        (np.concatenate(values), np.concatenate(indices), np.array(starts)),
        shape=(len(texts), ngrams.SIZE),
    )


def written(chance: random.Random, count: int = PHRASES) -> list[Row]:
    """The phrases of all labels, altered, as rows of the source ``phrases``, and those written one
    by one as rows of the source ``hand``."""
    made = [
        Row(altered(text, chance), label, "phrases")
        for label in LABELS
        for text in phrases(label, count, chance)
    ]
    by_hand = read(WRITTEN)
    for _ in range(WRITTEN_TIMES):
        made += [Row(altered(row.prompt, chance), row.label, "hand") for row in by_hand]
    return made


def varied(rows: Sequence[Row], chance: random.Random) -> list[Row]:
    """Each row altered, and without what marks its source rather than its kind."""
    return [Row(_plain(row.prompt, chance), row.label, row.source) for row in rows]


def _plain(text: str, chance: random.Random) -> str:
    if text.startswith('"""') and chance.random() < 0.8:
        text = text.strip('" \n')
        text = text.split('"""')[0] if chance.random() < 0.6 else text.replace('"""', "")
    for opening in ("Write a python function to ", "Write a function to "):
        if text.startswith(opening) and chance.random() < 0.6:
            rest = text[len(opening) :]
            other = chance.choice(("", "Code to ", "Implement a method to ", "Python: ", "How to "))
            text = other + rest if other else rest[:1].upper() + rest[1:]
            break
    if text.islower() and chance.random() < 0.5:
        text = text[:1].upper() + text[1:]
        if not text.endswith(("?", ".", "!")):
            question = text.lower().startswith(("wh", "how", "is ", "are ", "do ", "can ", "did "))
            text += "?" if question else chance.choice((".", ""))
    if len(text) > 500 and chance.random() < 0.25:
        cut = chance.randint(200, len(text) - 100)
        text = text[:cut] if chance.random() < 0.5 else text[cut:]
    return altered(text, chance)


def weights(rows: Sequence[Row], share: float = 0.5) -> Floats:
    """A weight a row, mean 1: labels alike, phrases ``share`` of a label, sources the rest."""
    sizes: dict[tuple[str, str], int] = {}
    for row in rows:
        sizes[row.label, row.source] = sizes.get((row.label, row.source), 0) + 1
    per_label: dict[str, list[str]] = {}
    for label, source in sizes:
        per_label.setdefault(label, []).append(source)
    made = np.empty(len(rows), np.float32)
    for number, row in enumerate(rows):
        others = [source for source in per_label[row.label] if source != "phrases"]
        if not others:
            part = 1.0
        elif row.source == "phrases":
            part = share
        else:
            part = (1.0 - share * ("phrases" in per_label[row.label])) / len(others)
        made[number] = part / sizes[row.label, row.source]
    return made * np.float32(len(rows) / made.sum())


def train(rows: Sequence[Row], regularisation: float = REGULARISATION) -> Trained:
    """Raises ``ValueError`` for a label that is none of ``LABELS``."""
    model = LogisticRegression(C=regularisation, max_iter=400, tol=1e-5, fit_intercept=False)
    texts = [row.prompt for row in rows]
    targets = np.array([LABELS.index(row.label) for row in rows])
    model.fit(features(texts), targets, sample_weight=weights(rows))
    matrix = np.zeros((ngrams.SIZE, len(LABELS)), np.float32)
    matrix[:, model.classes_] = model.coef_.T
    return Trained(matrix)


def held_out(rows: Sequence[Row]) -> list[tuple[str, list[Row], Floats]]:
    """For every source: its rows, and their scores by a model that has not seen the source."""
    found = []
    for source in sorted({row.source for row in rows}):
        chance = random.Random(SEED)
        others = [row for row in rows if row.source != source]
        asked = [row for row in rows if row.source == source]
        trained = train(written(chance) + varied(others, chance))
        found.append((source, asked, trained.scores([row.prompt for row in asked])))
    return found


def temperature_of(results: Sequence[tuple[str, list[Row], Floats]]) -> float:
    """The divisor of the log-odds that makes the probabilities of held-out rows most likely, every
    source weighing the same."""

    def loss(temperature: float) -> float:
        total = 0.0
        for _, rows, scores in results:
            scaled = scores / temperature
            scaled = scaled - scaled.max(1, keepdims=True)
            log = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
            right = [LABELS.index(row.label) for row in rows]
            total -= float(log[np.arange(len(rows)), right].mean())
        return total

    return float(minimize_scalar(loss, bounds=(0.2, 5.0), method="bounded").x)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="training.router.classifier")
    parser.add_argument("data", type=Path, nargs="?", default=DEFAULT_DATA)
    parser.add_argument("--out", type=Path, default=shipped_weights())
    parser.add_argument("--quick", action="store_true", help="do not hold sources out")
    parser.add_argument("--temperature", type=float, default=1.0, help="with --quick")
    options = parser.parse_args(argv)
    rows = read(options.data)
    temperature = options.temperature
    if not options.quick:
        results = held_out(rows)
        temperature = temperature_of(results)
        for source, asked, scores in results:
            right = [
                LABELS[best] == row.label for best, row in zip(scores.argmax(1), asked, strict=True)
            ]
            print(f"held out {source:20} {len(asked):5} accuracy {sum(right) / len(right):.3f}")
    chance = random.Random(SEED)
    trained = train(written(chance) + varied(rows, chance))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save(options.out, LABELS, trained.matrix, temperature, THRESHOLD, MARGIN)
    print(f"temperature {temperature:.3f}; {options.out} {options.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

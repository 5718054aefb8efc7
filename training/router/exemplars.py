"""Makes the vectors that stage ``embedding`` compares prompts with, and says how good they are.

    python -m training.router.exemplars [FILE] [--out FILE.npz] [--dry-run]

``FILE``: labelled prompts, JSON lines with ``prompt``, ``label`` and ``source``; it stays out of
the repository, what ships is vectors. Two sources are added to it, since several labels have a
single data set: ``phrases/exemplars.jsonl``, prompts written by hand, and the templates of
``phrases``, which the classifier learns from too.

Method. Each prompt's ``subject`` becomes a MiniLM vector. Every label has the same weight, and in
it every source. The linear head is logistic regression on all vectors. Sources with many prompts
are condensed by k-means, and a mean stands for its cluster with the cluster's weight.

Evaluation and calibration leave one source out, not one row: a source's prompts are judged by
exemplars and a head that were made without it (the hand-written ones in three parts), all of them
and not their means, which is faster and makes no difference. The temperature is the one that
gives those held-out prompts the greatest likelihood, each source weighing the same. The threshold
is the least at which 40% of those just above it are right: the fallback that answers else is
right for fewer, so deciding pays before odds are even. The floor is the least cosine to the
nearest exemplar at which half of them are. Needs scikit-learn (extra ``dev``). Takes about three
minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression

from mesh.types import Specialty
from orchestrator.router.minilm import MiniLm
from orchestrator.router.neighbours import FORMAT, SHIPPED, Exemplars, subject
from orchestrator.rules.labelled import Labelled
from training.router.labelled import DEFAULT_DATA, WRITTEN, read
from training.router.phrases.templates import phrases as templated

HAND = "hand"
TEMPLATES = "templates"

MOST_PER_SOURCE = 200  # vectors of one label; hand-written ones are all kept
TEMPLATED = 700  # phrases of one label
SPREAD = 0.06  # of the neighbours' kernel; 0.05 to 0.08 differ by less than a percent
RIDGE = 2.7  # scikit-learn's C, on vectors of length one
PARTS = 3
MARGIN = 0.03
BAND = 0.05
LEAST_RIGHT = 0.4

Rows = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Embedded:
    vectors: npt.NDArray[np.float32]
    kinds: Rows
    sources: Rows
    labels: tuple[Specialty, ...]

    def only(self, rows: Rows) -> Embedded:
        return Embedded(self.vectors[rows], self.kinds[rows], self.sources[rows], self.labels)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="training.router.exemplars")
    parser.add_argument("data", nargs="?", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--dry-run", action="store_true", help="measure, write nothing")
    options = parser.parse_args(argv)
    rows = read(options.data)
    phrases = [replace(row, source=HAND) for row in read(WRITTEN)]
    others = _templated(sorted({row.label for row in rows}))
    data = embedded(rows + phrases + others)
    print(f"{len(rows)} labelled prompts, {len(phrases)} by hand, {len(others)} of templates")
    chances, truth, nearest, groups = _held_out(data)
    temperature = _temperature(chances, truth, groups)
    sharp = _sharpened(chances, temperature)
    right = _each(groups) * (sharp.argmax(axis=1) == truth)
    threshold = _least(sharp.max(axis=1), right, _each(groups), LEAST_RIGHT)
    floor = _least(nearest, right, _each(groups), 0.5)
    _report(sharp, truth, groups, data.labels, threshold)
    made = replace(
        fitted(data), temperature=temperature, threshold=threshold, margin=MARGIN, floor=floor
    )
    print(f"temperature {temperature:.2f}, threshold {threshold:.2f}, floor {floor:.2f}")
    if not options.dry_run:
        _write(options.out, made)
        size = options.out.stat().st_size
        print(f"{options.out}: {len(made.vectors)} vectors, {size / 1e6:.2f} MB")
    return 0


def _templated(labels: Sequence[str]) -> list[Labelled]:
    chance = random.Random(7)
    return [
        Labelled(phrase, label, TEMPLATES)
        for label in labels
        for phrase in templated(label, TEMPLATED, chance)
    ]


def embedded(rows: Sequence[Labelled]) -> Embedded:
    model = MiniLm(threads=2)
    labels = tuple(Specialty(label) for label in dict.fromkeys(row.label for row in rows))
    return Embedded(
        np.stack([model.vector(subject(row.prompt)) for row in rows]),
        np.array([labels.index(Specialty(row.label)) for row in rows]),
        np.array([row.source for row in rows]),
        labels,
    )


def fitted(data: Embedded, *, condensed: bool = True) -> Exemplars:
    """Exemplars and head of these prompts, not calibrated."""
    weights = _weights(data)
    head = LogisticRegression(C=RIDGE, max_iter=300)
    head.fit(data.vectors, data.kinds, sample_weight=weights)
    factors = np.zeros((len(data.labels), data.vectors.shape[1]), np.float32)
    bias = np.full(len(data.labels), -30.0, np.float32)  # of a label that the data has not
    factors[head.classes_], bias[head.classes_] = head.coef_, head.intercept_
    vectors, kinds, shares = zip(*_condensed(data, weights, condensed), strict=True)
    return Exemplars(
        labels=data.labels,
        vectors=np.concatenate(vectors).astype(np.float16).astype(np.float32),
        kinds=np.concatenate(kinds).astype(np.int8),
        weights=np.concatenate(shares).astype(np.float32),
        head=factors,
        bias=bias,
        spread=SPREAD,
        temperature=1.0,
        threshold=0.0,
        margin=0.0,
        floor=-1.0,
    )


def _weights(data: Embedded) -> Rows:
    """Labels weigh the same, and within one its sources; 1 on average."""
    weights = np.zeros(len(data.kinds))
    for label in range(len(data.labels)):
        sources = set(data.sources[data.kinds == label])
        for source in sources:
            rows = (data.kinds == label) & (data.sources == source)
            weights[rows] = 1 / rows.sum() / len(sources)
    scaled: Rows = weights * len(weights) / weights.sum()
    return scaled


def _condensed(data: Embedded, weights: Rows, condense: bool) -> Iterable[tuple[Rows, Rows, Rows]]:
    for source in dict.fromkeys(data.sources.tolist()):
        for label in sorted(set(data.kinds[data.sources == source].tolist())):
            rows = np.flatnonzero((data.sources == source) & (data.kinds == label))
            if not condense or source == HAND or len(rows) <= MOST_PER_SOURCE:
                yield data.vectors[rows], data.kinds[rows], weights[rows]
                continue
            means = KMeans(MOST_PER_SOURCE, n_init=1, max_iter=10, random_state=0)
            means.fit(data.vectors[rows])
            sizes = np.bincount(means.labels_, minlength=MOST_PER_SOURCE)
            yield (
                means.cluster_centers_,
                np.full(MOST_PER_SOURCE, label),
                sizes * weights[rows[0]],
            )


def _held_out(data: Embedded) -> tuple[Rows, Rows, Rows, Rows]:
    """Probabilities, true labels, nearest cosines and sources of prompts whose source (of the
    hand-written: whose part) the exemplars were made without."""
    groups = data.sources.astype(object)
    hand = np.flatnonzero(data.sources == HAND)
    groups[hand] = [f"{HAND} {at % PARTS}" for at in range(len(hand))]
    chances, truth, nearest, of = [], [], [], []
    for group in dict.fromkeys(groups.tolist()):
        out = groups == group
        made = fitted(data.only(~out), condensed=False)
        for vector, kind in zip(data.vectors[out], data.kinds[out], strict=True):
            likely = made.likely(vector)
            shares = dict(likely.probabilities)
            chances.append([shares[label] for label in data.labels])
            truth.append(kind)
            nearest.append(likely.nearest)
            of.append(HAND if group.startswith(HAND) else group)
    return np.array(chances), np.array(truth), np.array(nearest), np.array(of)


def _sharpened(chances: Rows, temperature: float) -> Rows:
    powers = chances ** (1 / temperature)
    shares: Rows = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _temperature(chances: Rows, truth: Rows, groups: Rows) -> float:
    each = _each(groups)

    def loss(temperature: float) -> float:
        shares = _sharpened(chances, temperature)[np.arange(len(truth)), truth]
        return float(-(each * np.log(np.maximum(shares, 1e-9))).sum())

    return min((0.05 * step for step in range(6, 61)), key=loss)


def _least(value: Rows, right: Rows, each: Rows, share: float) -> float:
    """The least hundredth from which on, in every band above it, this share of prompts is right."""
    for step in range(90, 5, -1):
        band = (value >= step / 100) & (value < step / 100 + BAND)
        if band.any() and right[band].sum() < share * each[band].sum():
            return (step + 1) / 100
    return 0.05


def _each(groups: Rows) -> Rows:
    """A weight for each prompt so that every source has the same."""
    sizes = {group: int((groups == group).sum()) for group in set(groups.tolist())}
    return np.array([1 / sizes[group] for group in groups.tolist()])


def _report(
    sharp: Rows, truth: Rows, groups: Rows, labels: Sequence[str], threshold: float
) -> None:
    best, said = sharp.max(axis=1), sharp.argmax(axis=1)
    print(f"\n{'held-out source':20}{'prompts':>9}{'accuracy':>10}{'decided':>9}{'precision':>11}")
    for group in [*dict.fromkeys(groups.tolist()), None]:
        rows = groups == group if group is not None else np.full(len(groups), True)
        sure = rows & (best >= threshold)
        right = said == truth
        print(
            f"{group or 'all':20}{rows.sum():9}{right[rows].mean():10.3f}"
            f"{sure.sum() / rows.sum():9.3f}{right[sure].mean():11.3f}"
        )
    print(f"\n{'confidence':20}{'prompts':>9}{'right':>10}")
    for low in np.arange(0.2, 1.0, 0.1):
        band = (best >= low) & (best < low + 0.1 + (low > 0.85))
        if band.any():
            share = (said == truth)[band].mean()
            print(f"{low:.1f} to {low + 0.1:.1f}          {band.sum():9}{share:10.3f}")
    print(f"\nsaid as (columns) of {', '.join(labels)}")
    for label, name in enumerate(labels):
        counts = np.bincount(said[truth == label], minlength=len(labels))
        print(f"{name:14}" + "".join(f"{count:7}" for count in counts))


def _write(path: Path, made: Exemplars) -> None:
    about = {
        "format": FORMAT,
        "labels": made.labels,
        "spread": made.spread,
        "temperature": round(made.temperature, 3),
        "threshold": made.threshold,
        "margin": made.margin,
        "floor": round(made.floor, 3),
    }
    np.savez_compressed(
        path,
        about=np.array(json.dumps(about)),
        vectors=made.vectors.astype(np.float16),
        kinds=made.kinds,
        weights=made.weights,
        head=made.head,
        bias=made.bias,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

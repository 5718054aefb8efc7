"""Each source decided by a classifier that was trained without it."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from orchestrator.router.classifier import ClassifierStage, save
from orchestrator.rules.labelled import Labelled
from training.router.classifier import (
    MARGIN,
    SEED,
    THRESHOLD,
    temperature_of,
    train,
    varied,
    written,
)
from training.router.phrases.templates import LABELS
from training.router.quality.asked import Asked
from training.router.quality.baselines import tfidf
from training.router.quality.deciding import Made, decided, router, threshold

Folds = Sequence[frozenset[str]]


def folds_of(sources: Sequence[str], count: int | None) -> Folds:
    """The sources dealt into ``count`` parts, by name; None: each its own."""
    names = sorted(set(sources))
    if count is None:
        return [frozenset({name}) for name in names]
    parts = [frozenset(names[start::count]) for start in range(count)]
    return [part for part in parts if part]


async def by_source(
    rows: Sequence[Asked],
    learnt: Sequence[Labelled],
    *,
    folds: int | None,
    phrases: int,
    embedding: bool,
) -> tuple[list[Made], list[bool]]:
    """The decisions in the rows' order, and which rows TF-IDF gets right, likewise left out. All
    folds share one temperature, the one that suits their held-out rows."""
    known = {row.source for row in learnt}
    scored, models = [], []
    for part in folds_of([row.source for row in rows if row.source in known], folds):
        chance = random.Random(SEED)
        others = [row for row in learnt if row.source not in part]
        model = train(written(chance, phrases) + varied(others, chance))
        held = [row.labelled for row in rows if row.source in part]
        scored.append(("", held, model.scores([row.prompt for row in held])))
        models.append((part, model, others))
    made: dict[int, Made] = {}
    compared: dict[int, bool] = {}
    temperature = temperature_of(scored)
    print(f"temperature that suits the held-out rows: {temperature:.3f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "weights.npz")
        for part, model, others in models:
            save(path, LABELS, model.matrix, temperature, THRESHOLD, MARGIN)
            places = [n for n, row in enumerate(rows) if row.source in part]
            held_rows = [rows[n] for n in places]
            stage = ClassifierStage(path, threshold(embedding))
            async with router(stage, embedding) as decider:
                made.update(zip(places, await decided(held_rows, decider), strict=True))
            compared.update(zip(places, tfidf(held_rows, others), strict=True))
    return [made[n] for n in range(len(rows))], [compared[n] for n in range(len(rows))]

"""How well the router decides: ``python -m benchmarks.router_quality FILE [options]``.

FILE: labelled prompts, JSON lines with ``prompt``, ``label`` and, if known, ``source``. The default
cascade decides each: exact tools (the quick kinds), ``configs/rules.toml``, conversation,
classifier, with ``--embedding`` also the nearest neighbours, then the fallback ``chat``. A decision
is right when its specialty is the label, whichever stage made it; an abstention counts as what the
fallback says.

Compared, on the same rows: always the most common label, and TF-IDF (words and pairs) with logistic
regression; both learn from ``--train``, the data that the classifier was trained on too. Where FILE
is that data the figures are in-sample and say nothing of new prompts; ``--by-source`` then trains
the classifier and the baseline once a source without it (``--quick``: with a quarter of the
phrases: about a percent worse, and two minutes instead of eight). The rules stay as they are: they
were written with an eye on all of that data, so that a new set's own figures are the honest ones.

Also: flips, the share of decisions that change when 3% of the letters are mistyped (seeded); and
the time of the classifier stage alone and of the whole cascade, one call after another in one
thread, after a warm-up: wall clock, and for the stage the thread's own CPU time as well, which
leaves out what other processes did in between.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from mesh.clock import SystemClock
from mesh.types import Specialty
from orchestrator.router import classifier as classifier_stage
from orchestrator.router import conversation, exact
from orchestrator.router import embedding as embedding_stage
from orchestrator.router import rules as rules_stage
from orchestrator.router.cascade import Cascade
from orchestrator.router.classifier import SURE, ClassifierStage, save
from orchestrator.router.conversation import ConversationStage
from orchestrator.router.embedding import EmbeddingSettings, EmbeddingStage
from orchestrator.router.exact import ExactStage
from orchestrator.router.reload import starter_rules
from orchestrator.router.rule_file import parse
from orchestrator.router.rules import RulesStage
from orchestrator.router.spec import Placed
from orchestrator.rules.labelled import Labelled as Row
from orchestrator.rules.labelled import features as features_of
from training.router.classifier import (
    MARGIN,
    PHRASES,
    SEED,
    THRESHOLD,
    temperature_of,
    train,
    varied,
    written,
)
from training.router.labelled import DEFAULT_DATA, read
from training.router.phrases.templates import LABELS, misspelt

FALLBACK = Specialty("chat")
TYPOS = 0.03
TIMED = 500  # prompts
SAME_SHARE = 0.5  # of prompts known from the training data: then the figures are in-sample


@dataclass(frozen=True, slots=True)
class Decided:
    row: Row
    specialty: str
    stage: str
    micros: float


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.router_quality")
    parser.add_argument("data", type=Path)
    parser.add_argument("--train", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--embedding", action="store_true", help="also the stage 'embedding'")
    parser.add_argument("--by-source", action="store_true", help="train without each source")
    parser.add_argument("--quick", action="store_true", help="with --by-source: fewer phrases")
    parser.add_argument("--rows", type=int, help="a sample of this many, seeded")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(argv)
    rows = read(options.data)
    if options.rows is not None and options.rows < len(rows):
        rows = random.Random(SEED).sample(rows, options.rows)
    learnt = read(options.train) if options.train.exists() else []
    known = {row.prompt for row in learnt}
    in_sample = sum(row.prompt in known for row in rows) > SAME_SHARE * len(rows)
    print(
        f"{options.data.name}: {len(rows)} prompts, labels {dict(Counter(r.label for r in rows))}"
    )
    if in_sample:
        print(
            "THIS IS in-sample: the classifier was trained on these prompts. "
            + ("" if options.by_source else "Use --by-source for figures on unseen sources.")
        )
    figures = asyncio.run(_measure(rows, learnt, options.embedding))
    if options.by_source:
        count = PHRASES // 4 if options.quick else PHRASES
        figures["by_source"] = asyncio.run(
            _by_source(rows, learnt or rows, options.embedding, count)
        )
    if options.json:
        figures["in_sample"] = in_sample
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


async def _measure(rows: list[Row], learnt: list[Row], embedding: bool) -> dict[str, object]:
    classifier = ClassifierStage(threshold=_threshold(embedding))
    chance = random.Random(SEED)
    mistyped = [Row(misspelt(r.prompt, chance, TYPOS), r.label, r.source) for r in rows]
    decided, flips = await _decided((rows, mistyped), classifier, embedding)
    figures = _report(decided)
    flipped = sum(a.specialty != b.specialty for a, b in zip(decided, flips, strict=True))
    figures["flips"] = flipped / len(rows)
    print(f"\nflips with {TYPOS:.0%} of the letters mistyped: {flipped / len(rows):.3f}")
    if learnt:
        figures["baselines"] = _baselines(rows, learnt)
    figures["micros"] = _timing(rows, classifier, decided)
    return figures


def _threshold(embedding: bool) -> float | None:
    """As ``stages`` sets it: what the classifier doubts is left to the stage after it."""
    return SURE if embedding else None


async def _decided(
    asked: Sequence[Sequence[Row]], classifier: ClassifierStage, embedding: bool
) -> list[list[Decided]]:
    """The decisions of each list of rows, by one cascade."""
    rules = parse(starter_rules().read_bytes(), where=str(starter_rules()))
    stages = [
        Placed(exact.SPEC, ExactStage(None, SystemClock())),
        Placed(rules_stage.SPEC, RulesStage(rules)),
        Placed(conversation.SPEC, ConversationStage()),
        Placed(classifier_stage.SPEC, classifier),
    ]
    if not embedding:
        cascade = Cascade(stages, FALLBACK, rules.version)
        return [[await _decide(cascade, row) for row in rows] for rows in asked]
    neighbours = EmbeddingStage(EmbeddingSettings(timeout_ms=10_000.0))
    cascade = Cascade([*stages, Placed(embedding_stage.SPEC, neighbours)], FALLBACK, rules.version)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(neighbours.run())
        await _ready(neighbours)
        decided = [[await _decide(cascade, row) for row in rows] for rows in asked]
        running.cancel()
    return decided


async def _ready(stage: EmbeddingStage) -> None:
    """Waits until the stage has loaded its model: up to then it abstains."""
    probe = features_of("who wrote the odyssey")
    async with asyncio.timeout(120):
        while "load" in (await stage.consult(probe)).note:  # noqa: ASYNC110, it has no event
            await asyncio.sleep(0.1)


async def _decide(cascade: Cascade, row: Row) -> Decided:
    outcome = await cascade.decide(features_of(row.prompt))
    decision = outcome.decision
    return Decided(row, decision.specialty, decision.stage, decision.micros)


def _report(decided: Sequence[Decided]) -> dict[str, object]:
    right = [d.specialty == d.row.label for d in decided]
    accuracy = sum(right) / len(right)
    by_source: dict[tuple[str, str], list[bool]] = defaultdict(list)
    by_stage: dict[str, list[bool]] = defaultdict(list)
    for d, good in zip(decided, right, strict=True):
        by_source[d.row.label, d.row.source].append(good)
        by_stage[d.stage].append(good)
    print(f"\naccuracy {accuracy:.4f}")
    print(f"\n{'label':14}{'prompts':>9}{'precision':>11}{'recall':>9}")
    labels: dict[str, dict[str, float]] = {}
    for label in LABELS:
        said = [d for d in decided if d.specialty == label]
        asked = [d for d in decided if d.row.label == label]
        hit = sum(d.row.label == label for d in said)
        precision = hit / len(said) if said else float("nan")
        recall = hit / len(asked) if asked else float("nan")
        labels[label] = {"precision": precision, "recall": recall, "prompts": len(asked)}
        print(f"{label:14}{len(asked):9}{precision:11.4f}{recall:9.4f}")
    print(f"\n{'source':30}{'prompts':>9}{'accuracy':>10}")
    for (label, source), goods in sorted(by_source.items()):
        print(f"{label + ' ' + source:30}{len(goods):9}{sum(goods) / len(goods):10.4f}")
    print(f"\n{'stage':14}{'decided':>9}{'coverage':>10}{'precision':>11}")
    for stage, goods in by_stage.items():
        print(
            f"{stage:14}{len(goods):9}{len(goods) / len(right):10.4f}"
            f"{sum(goods) / len(goods):11.4f}"
        )
    print(f"abstentions (the fallback answers): {len(by_stage.get('fallback', ()))}")
    print("\nconfusion: rows are labels, columns what was decided")
    print(" " * 12 + "".join(f"{label[:9]:>11}" for label in LABELS))
    for label in LABELS:
        counts = Counter(d.specialty for d in decided if d.row.label == label)
        print(f"{label:12}" + "".join(f"{counts[other]:11}" for other in LABELS))
    return {
        "accuracy": accuracy,
        "labels": labels,
        "sources": {f"{a} {b}": sum(goods) / len(goods) for (a, b), goods in by_source.items()},
        "stages": {
            stage: {"coverage": len(goods) / len(right), "precision": sum(goods) / len(goods)}
            for stage, goods in by_stage.items()
        },
    }


def _baseline(rows: Sequence[Row], learnt: Sequence[Row]) -> list[bool]:
    """TF-IDF and logistic regression, as commonly set up: which rows it gets right."""
    reader = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    model = LogisticRegression(C=10.0, max_iter=200)
    model.fit(reader.fit_transform([r.prompt for r in learnt]), [r.label for r in learnt])
    said = model.predict(reader.transform([r.prompt for r in rows]))
    return [guess == row.label for guess, row in zip(said, rows, strict=True)]


def _baselines(rows: Sequence[Row], learnt: Sequence[Row]) -> dict[str, float]:
    common = Counter(row.label for row in learnt).most_common(1)[0][0]
    majority = sum(row.label == common for row in rows) / len(rows)
    good = _baseline(rows, learnt)
    print(f"\nbaselines, same data: always '{common}' {majority:.4f}", end="; ")
    print(f"TF-IDF and logistic regression {sum(good) / len(good):.4f}")
    return {"majority": majority, "tfidf": sum(good) / len(good)}


async def _by_source(
    rows: Sequence[Row], learnt: Sequence[Row], embedding: bool, count: int
) -> dict[str, dict[str, float]]:
    """Each source decided by a classifier that was trained without it."""
    print("\neach source left out of the training (the mean counts sources alike)")
    print(f"{'source':30}{'prompts':>9}{'cascade':>10}{'classifier':>12}{'tf-idf':>9}")
    found: dict[str, dict[str, float]] = {}
    scored = []
    models = {}
    for source in sorted({row.source for row in rows}):
        chance = random.Random(SEED)
        others = [row for row in learnt if row.source != source]
        models[source] = train(written(chance, count) + varied(others, chance))
        asked = [row for row in rows if row.source == source]
        scored.append((source, asked, models[source].scores([row.prompt for row in asked])))
    temperature = temperature_of(scored)
    print(f"temperature that suits the held-out rows: {temperature:.3f}")
    for source, asked, scores in scored:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "weights.npz")
            save(path, LABELS, models[source].matrix, temperature, THRESHOLD, MARGIN)
            (decided,) = await _decided(
                (asked,), ClassifierStage(path, _threshold(embedding)), embedding
            )
        others = [row for row in learnt if row.source != source]
        alone = [LABELS[b] == r.label for b, r in zip(scores.argmax(1), asked, strict=True)]
        made = {
            "cascade": float(np.mean([d.specialty == d.row.label for d in decided])),
            "classifier": float(np.mean(alone)),
            "tfidf": float(np.mean(_baseline(asked, others))),
        }
        found[source] = made
        print(
            f"{source:30}{len(asked):9}{made['cascade']:10.4f}{made['classifier']:12.4f}"
            f"{made['tfidf']:9.4f}"
        )
    mean = {key: float(np.mean([made[key] for made in found.values()])) for key in made}
    print(f"{'mean':30}{len(rows):9}", end="")
    print(f"{mean['cascade']:10.4f}{mean['classifier']:12.4f}{mean['tfidf']:9.4f}")
    return {**found, "mean": mean}


def _timing(
    rows: Sequence[Row], classifier: ClassifierStage, decided: Sequence[Decided]
) -> dict[str, float]:
    asked = [
        features_of(row.prompt) for row in random.Random(1).sample(rows, min(TIMED, len(rows)))
    ]
    alone, own = [], []
    for number in range(4):
        for features in asked:
            cpu, started = time.thread_time(), time.perf_counter()
            classifier.decide(features)
            ended, cpu_ended = time.perf_counter(), time.thread_time()
            if number:
                alone.append((ended - started) * 1e6)
                own.append((cpu_ended - cpu) * 1e6)
    whole = [d.micros for d in decided[len(decided) // 10 :]]
    made = {
        "classifier_p50": float(np.percentile(alone, 50)),
        "classifier_p99": float(np.percentile(alone, 99)),
        "classifier_cpu_p50": float(np.percentile(own, 50)),
        "classifier_cpu_p99": float(np.percentile(own, 99)),
        "cascade_p50": float(np.percentile(whole, 50)),
        "cascade_p99": float(np.percentile(whole, 99)),
    }
    print("\nmicroseconds            p50       p99")
    print(f"classifier stage {made['classifier_p50']:10.0f}{made['classifier_p99']:10.0f}")
    print(f"  its CPU time   {made['classifier_cpu_p50']:10.0f}{made['classifier_cpu_p99']:10.0f}")
    print(f"cascade          {made['cascade_p50']:10.0f}{made['cascade_p99']:10.0f}")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

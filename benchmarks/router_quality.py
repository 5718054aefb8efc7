"""How well the router decides: ``python -m benchmarks.router_quality [FILE ...] [options]``.

FILE: labelled prompts (``asked``, as all modules named here, of ``training.router.quality``); both
development files when none is named. Each is decided as an orchestrator would (``decide.Decider``,
all turns of a conversation given) by the default cascade: exact tools (the quick kinds),
``configs/rules.toml``, conversation, classifier, with ``--embedding`` also the nearest neighbours,
then the fallback ``chat``. A decision is right when its specialty is one of the row's ``labels``,
whichever stage made it; an abstention counts as what the fallback says.

Reported, of each file: accuracy by source, slice, language and stage, precision and recall,
expected calibration error (``calibration``), the share of decisions that change under what leaves a
prompt's meaning alone (``flips``), and the baselines on the same rows (``baselines``). Follow-ups
also by whether the turn before, decided by itself, was decided rightly. Last, the bars (``bars``).

Where a file is the data that the classifier learnt from, its figures are in-sample and say nothing
of new prompts; ``--by-source`` then trains the classifier and the baseline once a source without it
(``--quick``: with a quarter of the phrases: about a percent worse, and two minutes instead of
eight; ``--folds N``: the sources dealt into N parts, one training a part). The rules stay as they
are: they were written with an eye on that data, so that a new set's own figures are the honest
ones.

Also the time of the classifier stage alone and of the whole cascade, one call after another in one
thread, after a warm-up: wall clock, and for the stage the thread's own CPU time as well, which
leaves out what other processes did in between.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from orchestrator.answering.decide import Decider
from orchestrator.router.classifier import ClassifierStage
from orchestrator.rules.labelled import Labelled
from training.router.classifier import PHRASES, SEED
from training.router.labelled import DEFAULT_DATA
from training.router.quality import bars, tables
from training.router.quality.asked import Asked, read
from training.router.quality.baselines import majority, tfidf
from training.router.quality.deciding import Made, decided, router, threshold
from training.router.quality.flips import otherwise, share, ways
from training.router.quality.left_out import by_source
from training.router.quality.timing import timed

DEVELOPMENT = (DEFAULT_DATA, DEFAULT_DATA.with_name("router-dev2.jsonl"))
SAME_SHARE = 0.5  # of prompts known from the training data: then the figures are in-sample


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.router_quality")
    parser.add_argument("data", type=Path, nargs="*", help="both development files when none")
    parser.add_argument(
        "--train", type=Path, action="append", help="what the classifier learnt from; repeatable"
    )
    parser.add_argument("--embedding", action="store_true", help="also the stage 'embedding'")
    parser.add_argument("--by-source", action="store_true", help="train without each source")
    parser.add_argument("--folds", type=int, help="with --by-source: this many trainings")
    parser.add_argument("--quick", action="store_true", help="with --by-source: fewer phrases")
    parser.add_argument("--rows", type=int, help="a sample of this many a file, seeded")
    parser.add_argument("--wrong", type=Path, help="write each wrong decision there, a line each")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(argv)
    learnt = [
        row.labelled
        for path in options.train or (DEFAULT_DATA,)
        if path.exists()
        for row in read(path)
    ]
    figures: dict[str, tables.Figures] = {}
    wrong: list[Made] = []
    reached: list[bars.Bar] = []
    for path in options.data or DEVELOPMENT:
        rows = read(path)
        if options.rows is not None and options.rows < len(rows):
            rows = random.Random(SEED).sample(rows, options.rows)
        print(f"\n==== {path.name}: {len(rows)} prompts, {dict(Counter(r.label for r in rows))}")
        figures[path.name], made, found = asyncio.run(_measured(rows, learnt, options))
        wrong += [each for each in made if not each.right]
        reached += found
    if reached:
        figures["bars"] = tables.barred(reached)
    if options.wrong:
        options.wrong.write_text("".join(map(_line, wrong)), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


async def _measured(
    rows: list[Asked], learnt: list[Labelled], options: argparse.Namespace
) -> tuple[tables.Figures, list[Made], list[bars.Bar]]:
    known = {row.prompt for row in learnt}
    in_sample = sum(row.prompt in known for row in rows) > SAME_SHARE * len(rows)
    left_out = options.by_source and not known.isdisjoint(row.prompt for row in rows)
    if in_sample and not left_out:
        print("THIS IS in-sample: the classifier learnt from these prompts. See --by-source.")
    classifier = ClassifierStage(threshold=threshold(options.embedding))
    async with router(classifier, options.embedding) as decider:
        made = await decided(rows, decider)
        flipped = await _flipped(made, decider)
        before = await _before(rows, decider)
        figures: tables.Figures = {"in_sample": in_sample and not left_out}
        figures["micros"] = timed(made, classifier)
    baselines: tables.Rights = {}
    if learnt:
        baselines["majority"] = majority(rows, learnt)[1]
        baselines["tf-idf"] = tfidf(rows, learnt)
    if left_out:
        print("each source decided by a classifier that was trained without it")
        made, baselines["tf-idf"] = await by_source(
            rows,
            learnt,
            folds=options.folds,
            phrases=PHRASES // 4 if options.quick else PHRASES,
            embedding=options.embedding,
        )
    figures |= tables.report(made, baselines)
    figures["mean_of_sources"] = bars.mean_of_sources(made)
    print(f"mean of the sources, each counted alike: {figures['mean_of_sources']:.4f}")
    figures["flips"] = flipped
    figures["follow_ups"] = tables.follow_ups(made, before)
    if any(row.slices for row in rows):
        return figures, made, bars.real(made, flipped["all"])
    return figures, made, [bars.earlier(made)] if left_out else []


async def _flipped(made: list[Made], decider: Decider) -> dict[str, float]:
    """By way of saying it, and of all together, by the weights that ship."""
    print(f"\n{'said otherwise':34}{'prompts':>9}{'flips':>10}{'right':>9}{'before':>9}")
    flipped: dict[str, float] = {}
    tries = changed = 0.0
    for name, way in ways().items():
        asked = otherwise([each.row for each in made], way)
        again = dict(zip(asked, await decided(list(asked.values()), decider), strict=True))
        flipped[name] = share(made, again)
        if again:
            tries += len(again)
            changed += flipped[name] * len(again)
        right = bars.accuracy(list(again.values()))
        was = bars.accuracy([made[n] for n in again])
        print(f"{name:34}{len(again):9}{flipped[name]:10.4f}{right:9.4f}{was:9.4f}")
    flipped["all"] = changed / tries if tries else float("nan")
    print(f"{'all':34}{tries:9.0f}{flipped['all']:10.4f}")
    return flipped


async def _before(rows: list[Asked], decider: Decider) -> dict[int, Made]:
    earlier = {n: turn for n, row in enumerate(rows) if (turn := row.before()) is not None}
    return dict(zip(earlier, await decided(list(earlier.values()), decider), strict=True))


def _line(made: Made) -> str:
    said = {
        "decided": made.specialty,
        "right": sorted(made.row.right),
        "stage": made.stage,
        "rule": made.rule,
        "confidence": round(made.confidence, 3),
        "source": made.row.source,
        "turns": [turn.text for turn in made.row.messages],
    }
    return json.dumps(said, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

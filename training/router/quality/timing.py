"""How long the classifier stage takes alone, and the whole cascade, in microseconds."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import numpy as np

from orchestrator.router.classifier import ClassifierStage
from orchestrator.rules.labelled import features
from training.router.quality.deciding import Made

TIMED = 500  # prompts


def timed(decided: Sequence[Made], classifier: ClassifierStage) -> dict[str, float]:
    """Prints and returns the figures. The first tenth of the decisions was a warm-up."""
    rows = [made.row for made in decided]
    asked = [features(r.prompt) for r in random.Random(1).sample(rows, min(TIMED, len(rows)))]
    alone, own = [], []
    for number in range(4):
        for each in asked:
            cpu, started = time.thread_time(), time.perf_counter()
            classifier.decide(each)
            ended, cpu_ended = time.perf_counter(), time.thread_time()
            if number:
                alone.append((ended - started) * 1e6)
                own.append((cpu_ended - cpu) * 1e6)
    whole = [made.micros for made in decided[len(decided) // 10 :]]
    figures: dict[str, float] = {}
    print("\nmicroseconds            p50       p99")
    for name, line, spent in (
        ("classifier", "classifier stage", alone),
        ("classifier_cpu", "  its CPU time", own),
        ("cascade", "cascade", whole),
    ):
        half, most = (float(np.percentile(spent, share)) for share in (50, 99))
        figures |= {f"{name}_p50": half, f"{name}_p99": most}
        print(f"{line:17}{half:10.0f}{most:10.0f}")
    return figures

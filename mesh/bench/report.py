"""The whole run as plain data: what `mesh bench --json` writes, and what the page is made of."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import Any

import msgspec
import psutil

from mesh.bench.arrivals import OpenLoop
from mesh.bench.distribution import Distribution
from mesh.bench.profile import LoadProfile
from mesh.bench.record import Recorder
from mesh.bench.run import LoadResult
from mesh.bench.workload import Workload
from mesh.fleet.records import NodeRecord
from mesh.version import __version__

FORMAT = 1
# Even steps in the number of nines, 50% to 99.999%: where a tail is.
CURVE = tuple(100 * (1 - 10 ** (-step / 12)) for step in range(61))

METHOD = (
    "Every latency counts from the moment the request was due: in an open loop that is its place "
    "in the Poisson schedule, whether or not it could go out then; in a closed loop the moment its "
    "client was free.",
    "Between tokens: time between two tokens at the client, over all streams. Tokens that arrive "
    "in one message share its time: the first of them took the whole wait, the others 0 ms. The "
    "pause of a resume is in it, and once more by itself.",
    "Rates are over the window in which requests were due; streams that were still open at its end "
    "finish after it, and count in the latencies only. Good: finished within the objective and "
    "without a fault in the check, its share is of all requests due, those not started included.",
    "Percentiles come from HDR histograms of 3 significant digits, those of single seconds of 2.",
)


def build(profile: LoadProfile, workload: Workload, outcome: LoadResult) -> dict[str, Any]:
    """Times in milliseconds where the name says ``_ms``, in seconds where it says ``_s``."""
    recorder = outcome.recorder
    return {
        "format": FORMAT,
        "version": __version__,
        "started_at": outcome.started_at,
        "window_s": recorder.window_s,
        "wall_s": outcome.wall_s,
        "interrupted": outcome.interrupted,
        "settings": _settings(profile, workload),
        "machine": _machine(),
        "fleet": [_node(node) for node in outcome.nodes],
        "requests": {
            "due": recorder.due,
            "not_started": recorder.not_started,
            "finished": recorder.finished,
            "failed": recorder.failed,
            "abandoned": recorder.abandoned,
            "resumed": recorder.resumed,
        },
        "latency_ms": {name: _summary(d) for name, d in _distributions(recorder).items()},
        "curves_ms": {
            name: _curve(d)
            for name, d in _distributions(recorder).items()
            if name in ("ttft", "itl", "e2e")
        },
        "throughput": {
            "requests_per_s": _per(recorder.window_finished, recorder.window_s),
            "tokens_per_s": _per(recorder.window_tokens, recorder.window_s),
            "tokens": recorder.tokens,
            "tokens_together": recorder.together,
        },
        "goodput": {
            "objective": str(recorder.objective),
            "good": recorder.good,
            "share": _per(recorder.good, recorder.due - recorder.abandoned),
            "requests_per_s": _per(recorder.window_good, recorder.window_s),
            "missed": dict(recorder.missed),
        },
        "check": {
            "streams": recorder.checked,
            "by_content": recorder.by_content,
            "broken_streams": recorder.violated,
            "violations": [asdict(violation) for violation in recorder.violations],
        },
        "nodes": _shares(recorder),
        "errors": [
            {"code": code, "count": error.count, "example": error.example}
            for code, error in sorted(recorder.errors.items(), key=lambda item: -item[1].count)
        ],
        "resumes": [asdict(resume) for resume in recorder.resumes],
        "faults": [asdict(mark) for mark in outcome.marks],
        "faults_unlisted": outcome.unlisted_marks,
        "generator": {
            "cpu_s": outcome.cpu_s,
            "cpu_share": _per(outcome.cpu_s, outcome.wall_s),
            "connections": outcome.connections,
        },
        "method": METHOD,
        "series": [asdict(row) for row in recorder.series.rows],
    }


def encode(report: dict[str, Any]) -> bytes:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def _settings(profile: LoadProfile, workload: Workload) -> dict[str, Any]:
    load = profile.load
    return {
        "load": "open" if isinstance(load, OpenLoop) else "closed",
        **asdict(load),
        "duration_s": profile.duration_s,
        "requests": profile.requests,
        "warmup": profile.warmup,
        "seed": profile.seed,
        "slo": str(profile.objective),
        "faults": [str(event) for event in profile.faults],
        "prompts": workload.source,
        **asdict(profile.template),
    }


def _machine() -> dict[str, Any]:
    """No host name: reports are passed on."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cores": psutil.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
    }


def _node(node: NodeRecord) -> dict[str, Any]:
    return {
        "name": node.name,
        "id": node.id,
        "version": node.version,
        "state": node.state,
        "cpu": node.cpu.name if node.cpu else "",
        "gpus": [gpu.name for gpu in node.gpus],
        "models": [
            {"id": m.id, "engine": m.engine, "slots": m.slots, "device": m.device}
            for m in node.models
        ],
    }


def _shares(recorder: Recorder) -> list[dict[str, Any]]:
    rows = [
        {
            "node": name,
            "assigned": share.assigned,
            "tokens": share.tokens,
            "share": _per(share.tokens, recorder.tokens),
        }
        for name, share in recorder.nodes.items()
    ]
    return sorted(rows, key=lambda row: (-int(row["tokens"]), str(row["node"])))


def _distributions(recorder: Recorder) -> dict[str, Distribution]:
    return {
        "ttft": recorder.ttft,
        "itl": recorder.itl,
        "e2e": recorder.e2e,
        "resume_gap": recorder.resume_gap,
        "start_lag": recorder.start_lag,
    }


def _summary(distribution: Distribution) -> dict[str, float] | None:
    summary = distribution.summary()
    return asdict(summary) if summary is not None else None


def _curve(distribution: Distribution) -> list[tuple[float, float]]:
    """(percentile, milliseconds), as far up as there are values to tell percentiles apart."""
    if not distribution.count:
        return []
    points = [p for p in CURVE if (100 - p) * distribution.count >= 100] or [50.0]
    values = distribution.milliseconds(points)
    return [(round(p, 4), value) for p, value in zip(points, values, strict=True)]


def _per(amount: float, whole: float) -> float:
    return amount / whole if whole > 0 else 0.0

"""Every model of a fleet as a table: memory, slots, time left, speeds, what reuse spared, prices.

What has no column in a narrow terminal is said in words below the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.text import Text

from mesh.cli.fleet import ROWS, shown
from mesh.cli.screen import (
    Sized,
    age,
    fitted,
    left_out,
    megabytes,
    rate,
    share,
    short_device,
    table,
)
from mesh.fleet.records import ModelRecord, ModelState, NodeRecord
from mesh.stream import FleetStatus

_WIDE, _WIDEST = 118, 160  # columns of a terminal that has room for some, for all
_FALLBACK = "CPU fallback"

_STYLE = {
    ModelState.RESIDENT: "green",
    ModelState.LOADING: "yellow",
    ModelState.COLD: "",
    ModelState.FAILED: "red",
}


@dataclass(frozen=True, slots=True)
class _Extra:
    """A column for terminals of at least ``width``, where some model has a ``cell``; ``words`` say
    the same in a line of their own."""

    name: str
    width: int
    cell: Callable[[ModelRecord], str]
    words: Callable[[ModelRecord], str]


def render_models(fleet: FleetStatus, wall: float) -> RenderableType:
    """Every model of every node, with what there is to say about some of them below. NEEDS is what
    was estimated before the load, TAKES what was measured. ``wall``: Unix seconds now."""
    clean = shown(fleet)
    return Sized(lambda width: _models(clean, wall, width))


def _models(fleet: FleetStatus, wall: float, width: int) -> RenderableType:
    models = [model for node in fleet.nodes for model in node.record.models]
    extras = [each for each in _EXTRAS if any(each.cell(model) for model in models)]
    columns = [each for each in extras if each.width <= width]
    below = [each for each in extras if each.width > width]
    made = table(
        *("NODE", "MODEL", "STATE", "SLOTS", "NEEDS", "TAKES", "DEVICE", "TTL"),
        *(each.name for each in columns),
        right=("NEEDS", "TAKES", "TTL", "REUSED", "GUESSED"),
        fixed=(
            "STATE",
            "SLOTS",
            "NEEDS",
            "TAKES",
            "DEVICE",
            "TTL",
            *(each.name for each in columns),
        ),
    )
    said: list[Text] = []
    rows = 0
    for node in sorted(fleet.nodes, key=lambda each: (each.record.name, each.record.id)):
        record = node.record
        shown_here = record.models[: max(0, ROWS - rows)]
        rows += len(record.models)
        for model in shown_here:
            made.add_row(
                Text(record.name),
                Text(model.id),
                Text(_state(model), style=_STYLE[model.state]),
                _slots(model),
                megabytes(model.estimated_bytes) if model.estimated_bytes else "-",
                megabytes(model.measured_bytes) if model.measured_bytes else "-",
                Text(_device(record, model), style="yellow" if model.cpu_fallback else ""),
                _ttl(model, wall),
                *(each.cell(model) or "-" for each in columns),
            )
            said += _words(record.name, model, [each.words(model) for each in below])
    gone = fitted(made, width, "TTL", "DEVICE", "NEEDS", "TAKES", "SLOTS")
    parts: list[RenderableType] = [made if made.row_count else Text("no model is known")]
    parts += left_out(gone)
    if rows > ROWS:
        parts.append(Text(f"and {rows - ROWS:,} models more; --json has them all", style="yellow"))
    parts.append(Text())
    return Group(*parts, *said)


def _state(model: ModelRecord) -> str:
    if model.state is ModelState.LOADING and model.load_percent:
        return f"loading {model.load_percent}%"
    return str(model.state)


def _slots(model: ModelRecord) -> str:
    """``3/4 +2``: used, all, and requests that wait on the node."""
    waiting = f" +{model.queued}" if model.queued else ""
    return f"{model.used_slots}/{model.slots}{waiting}"


def _device(record: NodeRecord, model: ModelRecord) -> str:
    if model.cpu_fallback:
        return _FALLBACK
    found = next((gpu for gpu in record.gpus if gpu.uuid == model.device), None)
    if found is not None:
        return short_device(found)
    return "CPU" if model.device == "cpu" else model.device


def _ttl(model: ModelRecord, wall: float) -> str:
    """Time left, ``pinned``, or ``stays``; with its whole time while it is in use."""
    if model.pinned:
        return "pinned"
    if model.ttl_s is None:
        return "stays"
    if model.unload_at:
        return f"{age(max(0.0, model.unload_at - wall))} left"
    return age(model.ttl_s)


def _words(node: str, model: ModelRecord, facts: list[str]) -> Iterator[Text]:
    name = f"{node}: {model.id}"
    if told := "; ".join(fact for fact in facts if fact):
        yield Text(f"{name}: {told}")
    if model.error:
        yield Text.assemble((f"{name}: ", "red"), model.error)
        return
    if model.cpu_fallback:
        why = model.note or "it was meant for a GPU and did not fit one"
        yield Text.assemble((f"{name}: ", "yellow"), why)
    elif model.note:
        yield Text(f"{name}: {model.note}")
    if model.last_error:
        yield Text(f"{name}: failed before: {model.last_error}", style="yellow")


def _speed_cell(model: ModelRecord) -> str:
    """``512 / 48 / 130``."""
    if not _measured(model):
        return ""
    full = model.decode_tps_full or (model.decode_tps if model.slots == 1 else 0.0)
    return " / ".join(
        rate(tps) if tps > 0.0 else "?" for tps in (model.prefill_tps, model.decode_tps, full)
    )


def _speed_words(model: ModelRecord) -> str:
    """``pp 512 t/s, tg 48 t/s, x4 = 130 t/s``."""
    told = []
    if model.prefill_tps > 0.0:
        told.append(f"pp {rate(model.prefill_tps)} t/s")
    if model.decode_tps > 0.0:
        told.append(f"tg {rate(model.decode_tps)} t/s")
    if model.decode_tps_full > 0.0 and model.slots > 1:
        told.append(f"x{model.slots} = {rate(model.decode_tps_full)} t/s")
    return ", ".join(told)


def _measured(model: ModelRecord) -> bool:
    return model.prefill_tps > 0.0 or model.decode_tps > 0.0 or model.decode_tps_full > 0.0


def _reuse_cell(model: ModelRecord) -> str:
    return share(model.counts.reused_tokens, model.counts.prompt_tokens)


def _reuse_words(model: ModelRecord) -> str:
    found = _reuse_cell(model)
    return f"{found} of prompt tokens reused" if found else ""


def _guess_cell(model: ModelRecord) -> str:
    return share(model.counts.accepted_tokens, model.counts.drafted_tokens)


def _guess_words(model: ModelRecord) -> str:
    found = _guess_cell(model)
    return f"{found} of guessed tokens right" if found else ""


def _tier_cell(model: ModelRecord) -> str:
    """``premium 0.25/2``; "" for what is local and free."""
    prices = (model.input_price, model.output_price)
    told = "/".join("?" if price is None else f"{price:g}" for price in prices)
    price = "" if prices == (None, None) else told
    tier = "" if model.tier == "local" and not price else model.tier
    return " ".join(filter(None, (tier, price)))


def _tier_words(model: ModelRecord) -> str:
    if not _tier_cell(model):
        return ""
    prices = (
        f"{price:g} a million {what}"
        for price, what in ((model.input_price, "in"), (model.output_price, "out"))
        if price is not None
    )
    return ", ".join(filter(None, (model.tier, *prices)))


_EXTRAS = (
    _Extra("PP/TG/ALL t/s", _WIDE, _speed_cell, _speed_words),
    _Extra("REUSED", _WIDE, _reuse_cell, _reuse_words),
    _Extra("GUESSED", _WIDEST, _guess_cell, _guess_words),
    _Extra("TIER, PRICE", _WIDEST, _tier_cell, _tier_words),
)

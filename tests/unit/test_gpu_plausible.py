"""A driver's figures that cannot be so cost their own field, and never the node's record."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.fleet.records import (
    Gpu,
    ModelId,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    decode_node,
    encode_record,
)
from mesh.types import NodeId
from node.hardware.plausible import NO_SIZES, plausible
from node.record import WORDS_CHARS, bounded

CARD = Gpu(
    uuid="GPU-1",
    name="card",
    index=0,
    total_bytes=8 * 2**30,
    used_bytes=2**30,
    free_bytes=7 * 2**30,
    temperature_c=50.0,
    power_w=100.0,
    utilisation=0.5,
    throttled_to=0.8,
)
NODE = NodeRecord(
    id=NodeId("n"),
    instance="i",
    name="n",
    host="h",
    pid=1,
    state=NodeState.READY,
    reason="",
    endpoint="tcp://h:1",
)


def test_a_sound_card_is_as_it_was() -> None:
    assert plausible(CARD) == CARD


@pytest.mark.parametrize(
    ("field", "value", "left"),
    [
        ("temperature_c", 4_294_967_295.0, None),
        ("temperature_c", nan, None),
        ("power_w", -1.0, None),
        ("utilisation", 42_949_672.95, None),
        ("throttled_to", inf, 1.0),
        ("index", -1, 0),
    ],
)
def test_one_figure_that_cannot_be_so_costs_itself(field: str, value: Any, left: Any) -> None:
    spoilt = replace(CARD, **{field: value})
    assert plausible(spoilt) == replace(CARD, **{field: left})


@pytest.mark.parametrize("field", ["total_bytes", "used_bytes", "free_bytes"])
@pytest.mark.parametrize("value", [2**64 - 1, -1])
def test_memory_that_cannot_be_so_is_said_and_not_counted_on(field: str, value: int) -> None:
    found = plausible(replace(CARD, **{field: value}))
    assert (found.total_bytes, found.used_bytes, found.free_bytes) == (0, 0, 0)
    assert found.error == NO_SIZES


@given(st.fixed_dictionaries({}, optional={
    **{name: st.integers(-(2**65), 2**65) for name in ("total_bytes", "used_bytes", "free_bytes")},
    **{name: st.floats() for name in ("temperature_c", "power_w", "utilisation", "throttled_to")},
}))  # fmt: skip
def test_whatever_a_driver_says_the_nodes_record_can_be_read(figures: dict[str, Any]) -> None:
    record = replace(NODE, gpus=(plausible(replace(CARD, **figures)),))
    assert decode_node(encode_record(record)) == record


def test_pages_of_an_engines_last_words_are_cut_and_can_be_read() -> None:
    words = "error\n" * 20_000
    model = ModelRecord(
        id=ModelId("m"),
        engine="e",
        specialties=(),
        state=ModelState.FAILED,
        slots=1,
        used_slots=0,
        context_length=1,
        device="cpu",
        error=words,
        last_error=words,
        note=words,
    )
    record = bounded(replace(NODE, reason=words, accelerator=words, models=(model,)))
    assert decode_node(encode_record(record)) == record
    assert len(record.reason) == WORDS_CHARS
    assert record.reason.endswith("…")
    assert bounded(NODE) == NODE

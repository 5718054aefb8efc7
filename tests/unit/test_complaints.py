"""A log says of bad records what it has room for, and in which pieces a batch is applied."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mesh.fleet.complaints import LINES, PERIOD_S, Complaints
from mesh.fleet.view import PORTION, PORTION_BYTES, portions
from mesh.registry.base import Delete, Put


def test_some_are_told_and_the_rest_is_counted() -> None:
    told = Complaints()
    assert told.lines(["nodes/a: not a node record"], 5.0) == [
        "a record is of no use: nodes/a: not a node record"
    ]
    many = told.lines([f"nodes/{n}" for n in range(1_000)], 6.0)
    assert len(many) == LINES
    assert many[-1].startswith("more records are of no use")
    assert told.lines(["nodes/b"], 7.0) == []
    assert told.lines([], 5.0 + PERIOD_S - 0.1) == []
    later = told.lines(["nodes/b"], 5.0 + PERIOD_S)
    assert later == [
        "982 other records were of no use in between",
        "a record is of no use: nodes/b",
    ]
    assert told.lines([], 1_000.0) == []


CHANGES = st.lists(
    st.one_of(
        st.just(Delete("nodes/a")),
        st.sampled_from([0, 10, 1_000, PORTION_BYTES]).map(lambda size: Put("k", bytes(size))),
    ),
    max_size=150,
).map(tuple)


@given(CHANGES)
def test_portions_are_the_batch_and_none_is_large(changes: tuple[Put | Delete, ...]) -> None:
    found = list(portions(changes))
    assert [each for portion in found for each in portion] == list(changes)
    assert len(found) >= 1  # an empty batch is news too: there is nobody
    for portion in found:
        sizes = [len(each.value) for each in portion if isinstance(each, Put)]
        assert len(portion) <= PORTION
        assert sum(sizes[:-1]) < PORTION_BYTES
    assert all(found) or found == [()]

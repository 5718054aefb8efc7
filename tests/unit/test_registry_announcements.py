"""When what is written: rate, coalescing, lost leases, held keys."""

from __future__ import annotations

from math import inf

import pytest

from mesh.errors import ConfigError, DuplicateNode
from mesh.registry.announcements import Announcements, Holder, holder_of, rival_of

KEY = "nodes/a"
RIVAL = Holder(instance="other", host="box-b", pid=12)
THIRD = Holder(instance="third", host="box-c", pid=13)


def written(announced: Announcements, now: float) -> bytes | None:
    """Settles what is due, as a session does; the value that was written, None for nothing."""
    entry = announced.due(now)
    if entry is None or entry.value is None:
        return None
    announced.writing(entry, now)
    announced.wrote(entry, entry.value, 1)
    return entry.held


def test_a_value_is_written_once() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", None)
    assert written(announced, 0) == b"1"
    announced.announce(KEY, b"1", None)
    assert announced.due(100) is None
    assert announced.next_due() == inf


def test_a_key_is_written_at_most_once_a_second_with_its_newest_value() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", None)
    assert written(announced, 10) == b"1"
    announced.announce(KEY, b"2", None)
    announced.announce(KEY, b"3", None)
    assert announced.due(10.9) is None
    assert announced.next_due() == 11
    assert written(announced, 11) == b"3"


def test_going_back_to_the_written_value_within_the_second_writes_nothing() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", None)
    assert written(announced, 10) == b"1"
    announced.announce(KEY, b"2", None)
    announced.announce(KEY, b"1", None)
    assert announced.due(11) is None


def test_a_write_whose_answer_was_lost_is_in_doubt_and_repeated() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", None)
    assert written(announced, 0) == b"1"
    announced.announce(KEY, b"2", None)
    entry = announced.due(1)
    assert entry is not None
    announced.writing(entry, 1)  # and then the connection broke
    announced.announce(KEY, b"1", None)
    assert written(announced, 2) == b"1"


def test_after_a_lost_lease_everything_is_due_at_once() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", "me")
    announced.announce("nodes/b", b"2", None)
    assert written(announced, 10) == b"1"
    assert written(announced, 10) == b"2"
    announced.lost()
    assert written(announced, 10.1) == b"1"
    assert written(announced, 10.1) == b"2"


def test_after_an_outage_only_what_is_missing_is_written() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", None)
    announced.announce("nodes/b", b"2", None)
    written(announced, 10)
    written(announced, 10)
    announced.found({KEY})
    assert written(announced, 20) == b"2"
    assert announced.due(20) is None


def test_a_key_announced_while_its_deletion_is_under_way_is_written_again() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", None)
    written(announced, 10)
    announced.withdraw(KEY)
    entry = announced.due(10)
    assert entry is not None
    announced.writing(entry, 10)
    announced.announce(KEY, b"1", None)
    announced.erased(entry)
    assert written(announced, 11) == b"1"


def test_a_withdrawn_key_is_deleted_at_once_and_forgotten() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", None)
    written(announced, 10)
    announced.withdraw(KEY)
    entry = announced.due(10.01)
    assert entry is not None
    assert entry.value is None
    announced.erased(entry)
    assert announced.next_due() == inf


def test_a_holder_that_outlives_its_lease_is_a_duplicate() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", "me")
    entry = announced.due(0)
    assert entry is not None
    assert announced.refused(entry, RIVAL, 0, 5)  # news
    assert not announced.refused(entry, RIVAL, 5.9, 5)
    assert announced.next_due() == 6
    with pytest.raises(DuplicateNode, match="pid 12 on box-b") as caught:
        announced.refused(entry, RIVAL, 6, 5)
    assert caught.value.node_id == "a"


def test_another_holder_or_an_outage_starts_the_wait_anew() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", "me")
    entry = announced.due(0)
    assert entry is not None
    announced.refused(entry, RIVAL, 0, 5)
    assert announced.refused(entry, THIRD, 6, 5)
    announced.found(set())
    assert announced.refused(entry, THIRD, 100, 5)


def test_a_rejected_write_is_news_once_and_tried_again_later() -> None:
    announced = Announcements()
    announced.announce(KEY, b"1", None)
    entry = announced.due(0)
    assert entry is not None
    assert announced.rejected(entry, "no space", 0)
    assert announced.due(1.9) is None
    assert announced.due(2) is entry
    assert not announced.rejected(entry, "no space", 2)
    assert announced.rejected(entry, "no permission", 4)


WRITTEN = b'{"instance": "other", "host": "box-b", "pid": 12, "models": []}'


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"x", b"[1]", b'{"pid": "x"}', b"\xff", b"null", b'{"instance": "other"}'),
        b'{"instance": "", "host": "h", "pid": 1}',
        b'{"instance": "other", "host": "h", "pid": -1}',
        b'{"instance": "\xff", "host": "h", "pid": 1}',
        b"[" * 6_000,
        b"9" * 1_100_000,
    ],
)
def test_what_says_of_no_process_holds_no_key(value: bytes) -> None:
    assert holder_of(value) is None
    assert rival_of(value, "me", leased=True) is None


def test_only_a_live_record_of_another_instance_is_a_rival() -> None:
    assert rival_of(WRITTEN, "me", leased=True) == RIVAL
    assert rival_of(WRITTEN, "me", leased=False) is None  # nobody keeps it there
    assert rival_of(WRITTEN, "other", leased=True) is None


def test_what_somebody_else_wrote_over_or_deleted_is_due_again() -> None:
    for revision in (0, 7):
        announced = Announcements()
        announced.announce(KEY, b"1", None)
        assert announced.written() == ()
        assert written(announced, 10) == b"1"
        assert announced.written() == (KEY,)
        assert not announced.looked(KEY, 1)
        assert announced.due(20) is None
        assert announced.looked(KEY, revision)
        assert not announced.looked(KEY, revision)  # news once
        assert announced.due(10.5) is None  # and no war of writes
        assert written(announced, 11) == b"1"


def test_too_large_a_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="nodes/a"):
        Announcements().announce(KEY, bytes(1024 * 1024 + 1), None)

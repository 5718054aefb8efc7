"""Orchestrators are asked in turn: who answers is asked first from then on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
import pytest

from mesh.client import wire
from mesh.client.contacts import MOST_CONTACTS, Contact, Contacts
from mesh.errors import (
    ConfigError,
    DeadlineExceeded,
    NotServed,
    Overloaded,
    ProtocolError,
    Unreachable,
)
from mesh.fleet.records import OrchestratorRecord
from mesh.protobuf.metadata import ERROR_CODE
from mesh.types import OrchestratorId


class Channel:
    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        self.closed = True


def failure(status: grpc.StatusCode, code: str = "") -> Any:
    trailers = grpc.aio.Metadata(*(((ERROR_CODE, code),) if code else ()))
    return grpc.aio.AioRpcError(status, grpc.aio.Metadata(), trailers, details="no")


GONE = failure(grpc.StatusCode.UNAVAILABLE)
FULL = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded")


def contacts(*endpoints: str, learn: Any = None) -> Contacts:
    made = Contacts(learn)
    made._known = [Contact(endpoint=e, channel=Channel(), stub=None) for e in endpoints]
    return made


def asked(
    of: Contacts,
    script: dict[str, Any],
    again: Callable[[Any], bool] = wire.never_arrived,
    **given: Any,
) -> tuple[str, list[str]]:
    """Who answered, and who was asked. ``script``: what an endpoint raises."""
    order: list[str] = []
    for turn in of.in_turn(again, **given):
        with turn as contact:
            order.append(contact.endpoint)
            if contact.endpoint in script:
                raise script[contact.endpoint]
            return contact.endpoint, order
    return "", order


def endpoints(of: Contacts) -> list[str]:
    return [contact.endpoint for contact in of]


def test_the_first_that_answers_is_asked_first_from_then_on() -> None:
    of = contacts("a", "b", "c")
    assert asked(of, {"a": GONE}) == ("b", ["a", "b"])
    assert endpoints(of) == ["b", "a", "c"]
    assert asked(of, {}) == ("b", ["b"])


def test_when_nobody_answers_the_turns_end_and_all_are_named() -> None:
    of = contacts("a", "b")
    assert asked(of, dict.fromkeys("ab", GONE)) == ("", ["a", "b"])
    assert endpoints(of) == ["a", "b"]
    assert "a or b" in of.nobody().message


def test_an_answer_that_is_an_error_is_nobody_elses_to_give() -> None:
    of = contacts("a", "b")
    with pytest.raises(Overloaded):
        asked(of, {"a": FULL})
    assert endpoints(of) == ["a", "b"]


def test_the_caller_says_which_failures_another_may_make_good() -> None:
    of = contacts("a", "b")

    def full(error: Any) -> bool:
        return isinstance(wire.translated(error, ""), NotServed)

    assert asked(of, {"a": FULL}, full) == ("b", ["a", "b"])


def test_the_one_that_was_lost_comes_last() -> None:
    of = contacts("a", "b", "c")
    lost = next(iter(of))
    assert asked(of, dict.fromkeys("bc", GONE), last=lost) == ("a", ["b", "c", "a"])


def test_errors_of_the_callers_own_pass_unchanged() -> None:
    own = ValueError("mine")
    with pytest.raises(ValueError, match="mine"):
        asked(contacts("a", "b"), {"a": own})


def test_before_there_is_any_it_says_how_to_connect() -> None:
    with pytest.raises(ConfigError, match=r"async with mesh\.connect"):
        asked(contacts(), {})


def record(endpoint: str) -> OrchestratorRecord:
    return OrchestratorRecord(
        id=OrchestratorId(endpoint), instance="1", name=endpoint, host="h", pid=1, endpoint=endpoint
    )


def learning(found: Sequence[str] | Exception) -> Any:
    async def learn() -> Sequence[OrchestratorRecord]:
        if isinstance(found, Exception):
            raise found
        return [record(endpoint) for endpoint in found]

    return learn


async def test_who_is_new_is_known_once_and_only_so_many() -> None:
    many = [f"127.0.0.1:{port}" for port in range(1, 40)]
    of = contacts(many[0], learn=learning([*many, *many]))
    await of.refresh()
    assert endpoints(of) == many[:MOST_CONTACTS]
    of._known = of._known[:1]
    await of.aclose()


@pytest.mark.parametrize(
    "learn",
    [
        None,
        learning(Unreachable("gone")),
        learning(ProtocolError("not a node record: of another version")),
        learning(DeadlineExceeded("it did not answer in time")),
        learning(["a"]),
    ],
)
async def test_where_nothing_is_learnt_nothing_changes(learn: Any) -> None:
    of = contacts("a", "b", learn=learn)
    await of.refresh()
    assert endpoints(of) == ["a", "b"]


async def test_one_that_is_added_is_asked_after_those_before() -> None:
    of = Contacts()
    of.add("127.0.0.1:1")
    of.add("127.0.0.1:2")
    assert asked(of, {"127.0.0.1:1": GONE}) == ("127.0.0.1:2", ["127.0.0.1:1", "127.0.0.1:2"])
    await of.aclose()


async def test_closing_closes_every_channel_and_forgets_them() -> None:
    of = contacts("a", "b")
    channels = [contact.channel for contact in of]
    await of.aclose()
    assert all(channel.closed for channel in channels)
    with pytest.raises(ConfigError):
        of.require()

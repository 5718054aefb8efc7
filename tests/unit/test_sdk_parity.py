"""What the SDK has for code with an event loop, it has for code without one, and nothing else."""

from __future__ import annotations

import inspect
from typing import Any, cast

import pytest

import mesh
from mesh.client.conversation import Conversation, _Recorded
from mesh.client.direct import DirectEvents, DirectRoutes
from mesh.client.request import request_of
from mesh.client.stream import Events, EventStream, Generation
from mesh.client.sync import (
    SyncClient,
    SyncConversation,
    SyncEvents,
    SyncGeneration,
    _LoopThread,
)

ASKED = request_of("hi", {}, None)
NO: Any = None  # what is not used by anything that is looked at here
THREAD = cast(_LoopThread, NO)

# Without an event loop it is called ...
NAMES = {
    "aclose": "close",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}
KINDS = {
    "Client": "SyncClient",
    "Generation": "SyncGeneration",
    "Conversation": "SyncConversation",
    "EventStream": "SyncEvents",
    "AsyncIterator[Route | MeshError]": "Iterator[Route | MeshError]",
}


def through() -> Events:
    return Events(ASKED, cast(Any, ()))


def recorded() -> EventStream:
    return _Recorded(through(), lambda _: None)


def conversation() -> Conversation:
    return Conversation(lambda *_: through(), system="be brief", options={})


generation, talk, events = Generation(through()), conversation(), through()
PAIRS = {
    "client": (mesh.connect("127.0.0.1:1"), mesh.connect_sync("127.0.0.1:1")),
    "generation": (generation, SyncGeneration(generation, THREAD)),
    "conversation": (talk, SyncConversation(talk, THREAD)),
    "events": (events, SyncEvents(events, THREAD)),
    "events of a conversation": (recorded(), SyncEvents(events, THREAD)),
    "direct events": (
        DirectEvents(DirectRoutes(NO, NO), ASKED, ""),
        SyncEvents(events, THREAD),
    ),
}
METHODS = [
    (each, name)
    for each in ("client", "generation", "conversation", "events")
    for name in dir(PAIRS[each][0])
    if not name.startswith("_") and callable(getattr(PAIRS[each][0], name))
]


def offered(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_") or name in ALSO}


ALSO = NAMES.keys() | NAMES.values()


@pytest.mark.parametrize("pair", PAIRS)
def test_both_have_the_same_names(pair: str) -> None:
    plain, sync = PAIRS[pair]
    assert {NAMES.get(name, name) for name in offered(plain)} == offered(sync)


@pytest.mark.parametrize(("pair", "name"), METHODS)
def test_both_take_the_same_and_give_the_same(pair: str, name: str) -> None:
    plain, sync = PAIRS[pair]
    here = inspect.signature(getattr(plain, name))
    there = inspect.signature(getattr(sync, NAMES.get(name, name)))
    # With their names, kinds, defaults and types.
    assert list(here.parameters.values()) == list(there.parameters.values())
    assert KINDS.get(here.return_annotation, here.return_annotation) == there.return_annotation


def test_both_are_made_alike() -> None:
    here, there = inspect.signature(mesh.connect), inspect.signature(mesh.connect_sync)
    assert here.parameters == there.parameters
    assert inspect.signature(mesh.Client).parameters == inspect.signature(SyncClient).parameters


@pytest.mark.parametrize("pair", ["client", "generation", "conversation", "events"])
def test_what_can_be_read_is_the_same(pair: str) -> None:
    plain, sync = PAIRS[pair]
    read = [n for n in offered(plain) if not callable(getattr(plain, n))]
    for name in read:
        assert getattr(plain, name) == getattr(sync, name), name


@pytest.mark.parametrize(("pair", "name"), METHODS)
def test_both_say_what_they_do(pair: str, name: str) -> None:
    plain, sync = PAIRS[pair]
    assert inspect.getdoc(getattr(plain, name))
    assert inspect.getdoc(getattr(sync, NAMES.get(name, name)))

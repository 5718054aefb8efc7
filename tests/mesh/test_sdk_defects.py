"""An orchestrator that ends an answer by a defect is a lost one; a request's own fault is not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest

import mesh as squadron
from mesh.errors import InternalError, InvalidRequest, MeshError, Unreachable
from tests.fake_mesh import ANSWER, Broken, FakeMesh, assigned, decided, done, serving, tokens

HALF = (decided(), assigned(), tokens(0, "It is", " 42"))
DEFECT = Broken("internal", "a defect of the orchestrator: KeyError; see its log")


class Dying(FakeMesh):
    """Its handler raises, as one without a border would."""

    def Generate(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from super().Generate(request, context)
        raise KeyError("node")

    def Fleet(self, request: Any, context: grpc.ServicerContext) -> Any:
        raise KeyError("node")


class Second(FakeMesh):
    """Goes on after what the client has."""

    def Generate(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self.requests.append(request)
        came = len(request.continuation.ids)
        yield decided()
        yield assigned(attempt=2)
        texts = ("It is", " 42", ".")
        yield tokens(came, *texts[came:])
        yield done()


@contextmanager
def both(first: FakeMesh, second: FakeMesh) -> Iterator[list[str]]:
    with ExitStack() as running:
        yield [running.enter_context(serving(each)).endpoint for each in (first, second)]


@pytest.mark.parametrize(
    ("first", "came"),
    [
        (FakeMesh(answer=(DEFECT,)), 0),
        (FakeMesh(answer=(decided(), DEFECT)), 0),
        (FakeMesh(answer=(*HALF, DEFECT)), 2),
        (FakeMesh(answer=HALF), 2),  # ends without a last word
        (FakeMesh(answer=()), 0),
        (Dying(answer=HALF), 2),
        (Dying(answer=()), 0),
    ],
    ids=["at once", "decided", "midway", "no last word", "nothing", "raises", "raises at once"],
)
async def test_another_goes_on(first: FakeMesh, came: int) -> None:
    second = Second()
    with both(first, second) as endpoints:
        async with squadron.connect(endpoints) as client:
            generation = client.generate("what is 40 + 2?")
            assert await generation.text() == "It is 42."
    assert len(first.requests) == 1, "it would meet the same defect again"
    assert [len(request.continuation.ids) for request in second.requests] == [came]
    assert generation.done is not None
    assert [resume.at_token for resume in generation.done.resumes] == ([came] if came else [])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((DEFECT,), (DEFECT,)),
        ((*HALF, DEFECT), (DEFECT,)),
        ((*HALF, DEFECT), (decided(), tokens(2, "."), DEFECT)),
    ],
    ids=["at once", "midway", "midway twice"],
)
async def test_a_request_that_breaks_all_of_them_breaks_each_once(first: Any, second: Any) -> None:
    first, second = FakeMesh(answer=first), FakeMesh(answer=second)
    with both(first, second) as endpoints:
        async with squadron.connect(endpoints) as client:
            with pytest.raises(InternalError, match="KeyError"):
                await client.generate("what is 40 + 2?").text()
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_alone_its_defect_is_the_answer() -> None:
    with serving(FakeMesh(answer=(*HALF, DEFECT))) as only:
        async with squadron.connect(only.endpoint) as client:
            with pytest.raises(InternalError, match="KeyError"):
                await client.generate("what is 40 + 2?").text()
    assert len(only.requests) == 1


@pytest.mark.parametrize("code", ["invalid_request", "unknown_specialty", "deadline_exceeded"])
async def test_what_is_the_requests_own_is_asked_of_nobody_else(code: str) -> None:
    second = FakeMesh()
    with both(FakeMesh(answer=(Broken(code, "it is yours"),)), second) as endpoints:
        async with squadron.connect(endpoints) as client:
            with pytest.raises(MeshError, match="it is yours") as raised:
                await client.generate("what is 40 + 2?").text()
    assert raised.value.code == code
    assert not second.requests


async def test_other_calls_are_asked_of_another_too() -> None:
    second = FakeMesh()
    with both(Dying(route=DEFECT), second) as endpoints:
        async with squadron.connect(endpoints) as client:
            assert len(await client.nodes()) == 2
        async with squadron.connect(endpoints) as client:
            assert (await client.route("hello")).decision.specialty == "math"
    with both(FakeMesh(route=Broken("invalid_request", "no")), second) as endpoints:
        async with squadron.connect(endpoints) as client:
            with pytest.raises(InvalidRequest):
                await client.route("hello")


async def test_one_that_says_nothing_of_heartbeats_may_be_silent() -> None:
    wait = threading.Event()
    first, second = FakeMesh(answer=(*ANSWER[:3], wait, *ANSWER[3:])), FakeMesh()
    with both(first, second) as endpoints:
        async with squadron.connect(endpoints) as client:
            events = client.events("what is 40 + 2?")
            for _ in range(3):
                await anext(events)
            timer = threading.Timer(1.5, wait.set)  # twice as long as one that beats may
            timer.start()
            assert [event async for event in events]
    assert not second.requests


async def test_what_is_no_orchestrator_is_called_so() -> None:
    async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(http, "127.0.0.1", 0)
    endpoint = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        with pytest.raises(Unreachable, match=f"{endpoint}: what listens there does not speak"):
            async with squadron.connect(endpoint):
                pass
    with pytest.raises(Unreachable, match="is `mesh up` running"):
        async with squadron.connect(endpoint):
            pass

"""What strangers send to an orchestrator's gRPC port, and what is left of it afterwards."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

import mesh as squadron
from mesh.channel import open_channel
from mesh.client.sending import MESH, answered
from mesh.protobuf.flow import TRUSTED_PIECES, WINDOW_PIECES
from mesh.protobuf.metadata import ACKNOWLEDGES, ERROR_CODE, REQUEST_BYTES
from mesh.transport.base import Accepted, Attempt, Finished, Sink, Tokens
from mesh.types import FinishReason, Request, Usage
from mesh.v1 import mesh_pb2 as pb
from mesh.v1 import mesh_pb2_grpc
from orchestrator.service import Orchestrator
from tests.integration.test_tracing import free_port, process
from tests.mesh.fakes import RULES, Mesh, done_of, orchestrator, text_of, until
from tests.mesh.scripted import TOY, ScriptedNode, die, hang, refuse, word, words

LARGE = 4_000_000
DAY_S = 24 * 3600
HEX = "0123456789abcdef" * 2


def ask(text: str = "what is 1 + 1?", **given: Any) -> pb.GenerateRequest:
    return pb.GenerateRequest(messages=[pb.Message(role="user", content=text)], **given)


GOOD = ask(timeout_s=20.0).SerializeToString()


@asynccontextmanager
async def served(**given: Any) -> AsyncIterator[tuple[ScriptedNode, Orchestrator, Any]]:
    """A node, an orchestrator and a channel to it."""
    async with Mesh() as mesh:
        node = await mesh.node("a", **given)
        async with orchestrator(mesh) as whole:
            channel = open_channel(whole.endpoint)
            try:
                yield node, whole, channel
            finally:
                await channel.close()


async def sent(
    channel: Any, messages: list[bytes], metadata: tuple[tuple[str, str], ...] = ()
) -> tuple[str, str, str]:
    """How a Generate of these messages ends: status, code, words."""
    call = channel.stream_stream(MESH + "Generate")(messages, timeout=20.0, metadata=metadata)
    try:
        async for _ in call:
            pass
    except grpc.aio.AioRpcError as error:
        trailers = dict(error.trailing_metadata() or ())
        return error.code().name, str(trailers.get(ERROR_CODE, "")), error.details() or ""
    return "OK", "", ""


def said(size: int | str) -> tuple[tuple[str, str], ...]:
    return ((REQUEST_BYTES, str(size)),)


def named(name: str) -> tuple[tuple[str, str], ...]:
    return ((ACKNOWLEDGES, name),)


BAD = ("INVALID_ARGUMENT", "invalid_request")
ROWS: dict[str, tuple[list[bytes], tuple[tuple[str, str], ...], tuple[str, str], str]] = {
    "a good one": ([GOOD], (), ("OK", ""), ""),
    "in bytes": ([bytes([b]) for b in GOOD], said(len(GOOD)), ("OK", ""), ""),
    "with more behind it": ([GOOD, GOOD, b"\xff"], (), ("OK", ""), ""),
    "no message": ([], (), BAD, "ended before its request was there"),
    "an empty one": ([b""], (), BAD, "no messages"),
    "broken": ([b"\xff" * 40], (), BAD, "not a valid message"),
    "broken in chunks": ([b"\xff" * 20] * 2, said(40), BAD, "not a valid message"),
    "less than it said": ([GOOD], said(len(GOOD) + 1), BAD, "ended before its request"),
    "more than it said": ([GOOD], said(len(GOOD) - 1), BAD, f"{len(GOOD)} bytes of the request"),
    "empty chunks": ([b"", GOOD], said(len(GOOD)), BAD, "0 bytes of the request came"),
    "no size": ([GOOD], said("-1"), BAD, "must be the request's size"),
    "a size beyond all": ([], said(10**11), BAD, "takes at most 5,242,880; send less"),
    "a size of a thousand digits": ([], said("9" * 1000), BAD, "must be the request's size"),
    "a large plain one": ([b"x" * 300_000], (), ("RESOURCE_EXHAUSTED", ""), "larger than max"),
    "a name that is none": ([GOOD], named("me"), BAD, "32 lower-case hex digits"),
    "a billion seconds": (
        [ask(timeout_s=1e9).SerializeToString()],
        (),
        BAD,
        "timeout_s must be more than 0 and at most 86,400 seconds",
    ),
    "a week": ([ask(timeout_s=7.0 * DAY_S).SerializeToString()], (), BAD, "at most 86,400"),
    "no end of time": ([ask(timeout_s=float("inf")).SerializeToString()], (), BAD, "timeout_s"),
}


async def test_each_gets_one_answer_or_one_clear_line_and_the_next_is_served() -> None:
    async with served() as (_, _, channel):
        for name, (messages, metadata, ends, words_) in ROWS.items():
            status, code, line = await sent(channel, messages, metadata)
            assert ((status, code), words_ in line) == (ends, True), (name, line)
            assert "\n" not in line
            assert await sent(channel, [GOOD]) == ("OK", "", ""), name


async def test_an_acknowledgement_of_nothing_harms_nobody() -> None:
    async with served() as (_, _, channel):
        call = channel.unary_unary(MESH + "Acknowledge")
        for taken in (pb.Taken(), pb.Taken(answer=HEX, pieces=-(2**63)), pb.Taken(answer="\n" * 9)):
            await call(taken.SerializeToString(), timeout=5.0)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"\xff\xff", timeout=5.0)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await sent(channel, [GOOD]) == ("OK", "", "")


async def endless(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
    await sink.send(Accepted(node=node.id, model=TOY))
    index = len(attempt.delivered)
    while index < 20_000:
        await sink.send(Tokens(first=index, pieces=(word(index),)))
        node.sent.append(index)
        index += 1
        if index % 16 == 0:
            await asyncio.sleep(0)
    usage = Usage(prompt_tokens=1, completion_tokens=index)
    await sink.send(Finished(reason=FinishReason.STOP, usage=usage))


@pytest.mark.parametrize("ours", [True, False], ids=["the SDK", "a stranger"])
async def test_clients_that_never_read_stop_their_runner_and_hold_no_slot_against_others(
    ours: bool,
) -> None:
    """Eight of them, with all the time that may be asked for, on eight slots."""
    async with (
        served(slots=8) as (node, whole, channel),
        squadron.connect(whole.endpoint) as client,
    ):
        node.scripts = [endless] * 8
        stub: Any = mesh_pb2_grpc.MeshStub(channel)  # type: ignore[no-untyped-call]
        asleep: list[Any] = []
        for _ in range(8):
            if ours:
                events = client.events("1 + 1?", max_tokens=1_000_000, timeout_s=DAY_S)
                await anext(events)
                asleep.append(events)
            else:
                call = stub.Generate(
                    ask(sampling=pb.Sampling(max_tokens=1_000_000), timeout_s=DAY_S)
                )
                await call.read()
                asleep.append(call)
        await until(lambda: len(node.attempts) == 8)
        assert await client.generate("1 + 1?", timeout_s=20.0).text() == words(10)
        # What a window, the link's credit and a batch allow, of each of the eight.
        most = (WINDOW_PIECES if ours else TRUSTED_PIECES) + 3 * WINDOW_PIECES
        assert max(node.sent) < most
        if ours:
            node.scripts = [endless] * 9
            events = [event async for event in asleep[0]]
            assert text_of(events) == words(20_000)
            assert [resume.reason for resume in done_of(events).resumes] in ([], ["unread"])
        for each in asleep:
            await each.aclose() if ours else each.cancel()


@pytest.mark.parametrize("after_s", [0.0, 0.002, 0.01, 0.05])
async def test_a_client_that_leaves_is_no_defect(
    after_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as (node, whole, _):
        node.scripts = [hang(3)] * 8
        with caplog.at_level(logging.WARNING):
            for _ in range(8):
                channel = open_channel(whole.endpoint)
                call = channel.stream_stream(MESH + "Generate")([GOOD], timeout=5.0)
                await asyncio.sleep(after_s)
                call.cancel()
                await channel.close()
            await until(lambda: not node.used)
    assert not [record for record in caplog.records if "defect" in record.message]


async def valid(node: ScriptedNode, channel: Any) -> None:
    assert (await sent(channel, [GOOD]))[0] == "OK"


async def invalid(node: ScriptedNode, channel: Any) -> None:
    bad = ask(sampling=pb.Sampling(max_tokens=-1)).SerializeToString()
    assert (await sent(channel, [bad]))[1] == "invalid_request"


async def refused(node: ScriptedNode, channel: Any) -> None:
    node.scripts = [refuse("invalid_request")]
    assert (await sent(channel, [GOOD]))[1] == "invalid_request"


async def unknown(node: ScriptedNode, channel: Any) -> None:
    nobody = ask(specialty="poetry").SerializeToString()
    assert (await sent(channel, [nobody]))[1] == "unknown_specialty"


async def resumed(node: ScriptedNode, channel: Any) -> None:
    node.scripts = [die(3)]
    assert (await sent(channel, [GOOD]))[0] == "OK"


async def failed(node: ScriptedNode, channel: Any) -> None:
    node.scripts = [die(3)]
    once = ask(no_resume=True).SerializeToString()
    assert (await sent(channel, [once]))[1] == "not_resumable"


async def cancelled(node: ScriptedNode, channel: Any) -> None:
    node.scripts = [hang(3)]
    call = channel.stream_stream(MESH + "Generate")([GOOD], timeout=20.0)
    for _ in range(3):
        await call.read()
    call.cancel()
    await until(lambda: not node.used)


async def too_late(node: ScriptedNode, channel: Any) -> None:
    node.scripts = [hang(3)]
    soon = ask(timeout_s=0.2).SerializeToString()
    assert (await sent(channel, [soon]))[1] == "deadline_exceeded"


def requests_alive() -> int:
    return sum(type(each) is Request for each in gc.get_objects())


@pytest.mark.parametrize(
    "end", [valid, invalid, refused, unknown, resumed, failed, cancelled, too_late]
)
async def test_nothing_keeps_a_request_after_its_answer(
    end: Callable[[ScriptedNode, Any], Awaitable[None]],
) -> None:
    """Counted without the collector, which on a busy orchestrator looks rarely."""
    async with served() as (node, _, channel):
        await valid(node, channel)
        gc.collect()
        before = requests_alive()
        gc.disable()
        try:
            for _ in range(5):
                await end(node, channel)
            with suppress(AssertionError):
                await until(lambda: requests_alive() <= before)
            assert requests_alive() <= before
        finally:
            gc.enable()


@pytest.mark.processes
@pytest.mark.timeout(120)
async def test_large_requests_leave_nothing_and_hold_up_nobody(tmp_path: Path) -> None:
    """A real process: 40 invalid ones of 4 MB one after the other, then 60 at once."""
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    endpoint = f"127.0.0.1:{free_port()}"
    given = {
        "name": "one",
        "bind": endpoint,
        "state_dir": str(tmp_path),
        "etcd": f"127.0.0.1:{free_port()}",
        "rules": str(rules),
        "router": {"stages": ["rules"]},
    }
    bad = ask("x" * LARGE, sampling=pb.Sampling(max_tokens=-1))
    async with process("-m", "orchestrator", json.dumps(given), log=tmp_path / "log") as child:
        channel = open_channel(endpoint)
        stub: Any = mesh_pb2_grpc.MeshStub(channel)  # type: ignore[no-untyped-call]
        await stub.Fleet(pb.FleetRequest(), timeout=30.0, wait_for_ready=True)

        async def rejected() -> str:
            call = answered(channel, stub, MESH + "Generate", bad, 60.0, ())
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call.read()
            return str(dict(error.value.trailing_metadata() or ()).get(ERROR_CODE))

        memory = psutil.Process(child.pid).memory_info
        assert await rejected() == "invalid_request"
        before = memory().rss
        for _ in range(40):
            assert await rejected() == "invalid_request"
        assert memory().rss - before < 40e6
        peak = 0
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(rejected()) for _ in range(60)]
            while not all(task.done() for task in tasks):
                peak = max(peak, memory().rss)
                await stub.Route(pb.RouteRequest(messages=ask().messages), timeout=20.0)
                await asyncio.sleep(0.02)
        assert {task.result() for task in tasks} <= {"invalid_request", "overloaded"}
        assert peak < 400e6
        await channel.close()

"""Answers that nobody reads on: dropped by ``break``, closed by somebody else, of a client that is
closed or was made elsewhere. The slot is free at once, and no reader waits for ever."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import mesh as squadron
from mesh.errors import Cancelled, ConfigError, MeshError
from tests.mesh.fakes import Mesh, orchestrator, until
from tests.mesh.scripted import hang

MATH = "What is 17 + 25?"


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[Any, str]]:
    """A node that says three tokens and no more."""
    async with Mesh() as mesh:
        node = await mesh.node("a", slots=4)
        node.scripts = [hang(after=3)] * 4
        async with orchestrator(mesh) as whole:
            yield node, whole.endpoint


def dropped(node: Any) -> Callable[[], bool]:
    return lambda: len(node.attempts) > 0 and node.used == 0


async def test_an_answer_dropped_by_break_frees_its_slot() -> None:
    async with hanging() as (node, endpoint), squadron.connect(endpoint) as client:
        async for _ in client.generate(MATH):
            break
        await until(dropped(node))
        async for event in client.events(MATH):
            if isinstance(event, squadron.Tokens):
                break
        await until(dropped(node))
        async for _ in client.conversation().generate(MATH):
            break
        await until(dropped(node))
        assert len(node.attempts) == 3


async def test_an_answer_collected_in_a_circle_frees_its_slot() -> None:
    async with hanging() as (node, endpoint), squadron.connect(endpoint) as client:
        circle: dict[str, Any] = {"answer": client.generate(MATH)}
        circle["itself"] = circle
        await anext(circle["answer"])
        del circle
        gc.collect()
        await until(dropped(node))


@pytest.mark.parametrize("how", ["chunks", "events", "conversation"])
async def test_the_synchronous_front_frees_a_dropped_answers_slot(how: str) -> None:
    async with hanging() as (node, endpoint):

        def read() -> None:
            with squadron.connect_sync(endpoint) as client:
                asked: dict[str, Callable[[], Any]] = {
                    "chunks": lambda: client.generate(MATH),
                    "events": lambda: client.events(MATH),
                    "conversation": lambda: client.conversation().generate(MATH),
                }
                for part in asked[how]():
                    if how != "events" or isinstance(part, squadron.Tokens):
                        break
                left.set()
                go_on.wait()

        left, go_on = threading.Event(), threading.Event()
        reading = asyncio.create_task(asyncio.to_thread(read))
        try:
            await asyncio.to_thread(left.wait)
            await until(dropped(node))
        finally:
            go_on.set()
            await reading


@pytest.mark.parametrize("who", ["answer", "client"])
async def test_a_reader_whose_answer_somebody_else_closes_is_told_so(who: str) -> None:
    """Not with a cancellation of its own task, which would end it without a word."""
    async with hanging() as (node, endpoint), squadron.connect(endpoint) as client:
        generation = client.generate(MATH)
        await anext(generation)
        reading = asyncio.create_task(generation.text())
        await asyncio.sleep(0.05)
        await (generation if who == "answer" else client).aclose()
        async with asyncio.timeout(3.0):
            with pytest.raises(Cancelled, match="closed"):
                await reading
        await until(dropped(node))


async def test_an_answer_cut_by_a_cancelled_read_does_not_look_whole() -> None:
    async with hanging() as (node, endpoint), squadron.connect(endpoint) as client:
        generation = client.generate(MATH)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(generation.text(), 0.2)
        with pytest.raises(Cancelled, match="cancelled"):
            await generation.text()
        await until(dropped(node))


async def test_a_closed_synchronous_client_ends_who_reads_and_says_what_is_wrong() -> None:
    async with hanging() as (_, endpoint):

        def attack() -> list[str]:
            client = squadron.connect_sync(endpoint).__enter__()
            answer, told = client.generate(MATH), []
            next(answer)

            def read() -> None:
                try:
                    for _ in answer:
                        pass
                    told.append("looked whole")
                except MeshError as error:
                    told.append(type(error).__name__)

            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            time.sleep(0.1)  # it waits for what does not come
            client.close()
            reader.join(5.0)
            assert not reader.is_alive(), "it waits for ever"
            for use in (lambda: next(answer), answer.text, lambda: client.route(MATH)):
                with pytest.raises(ConfigError, match="connect"):
                    use()
            answer.close()
            client.close()
            return told

        async with asyncio.timeout(20.0):
            assert await asyncio.to_thread(attack) == ["Cancelled"]


async def test_a_call_under_way_in_another_thread_ends_with_the_synchronous_client() -> None:
    async with hanging() as (_, endpoint):

        def attack() -> str:
            client = squadron.connect_sync(endpoint).__enter__()
            begun, told = threading.Event(), []

            async def never() -> None:
                begun.set()
                await asyncio.Event().wait()

            def call() -> None:
                thread: Any = client._running()
                try:
                    thread.call(never())
                except MeshError as error:
                    told.append(type(error).__name__)

            caller = threading.Thread(target=call, daemon=True)
            caller.start()
            begun.wait()
            client.close()
            caller.join(5.0)
            assert not caller.is_alive(), "it waits for ever"
            return told[0]

        assert await asyncio.to_thread(attack) == "Cancelled"


async def test_a_client_of_another_event_loop_is_refused_with_a_reason() -> None:
    async with hanging() as (_, endpoint), squadron.connect(endpoint) as client:

        def elsewhere() -> None:
            async def ask() -> None:
                async with asyncio.timeout(5.0):
                    await client.generate(MATH).text()

            with pytest.raises(ConfigError, match="event loop"):
                asyncio.run(ask())

        await asyncio.to_thread(elsewhere)


FORK = """
import asyncio, os, signal
from mesh.client.sync import SyncClient, SyncGeneration, _LoopThread
from mesh.errors import ConfigError

thread = _LoopThread()
client = SyncClient("127.0.0.1:1")
client._thread = thread
answer = SyncGeneration(None, thread)
child = os.fork()
if child == 0:
    signal.alarm(5)
    code = 1
    for use in (client.nodes, lambda: next(answer)):
        try:
            use()
        except ConfigError as error:
            code = 0 if "fork" in error.message else 2
    answer.close()
    client.close()
    os._exit(code)
_, status = os.waitpid(child, 0)
thread.stop()
raise SystemExit(os.waitstatus_to_exitcode(status))
"""


async def test_after_a_fork_the_child_is_told_to_connect_anew() -> None:
    """Its thread was not forked with it: whoever waited for it would wait for ever."""
    script = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FORK, stderr=asyncio.subprocess.PIPE
    )
    _, said = await script.communicate()
    assert script.returncode == 0, said.decode()
    assert b"never awaited" not in said

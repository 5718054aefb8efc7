"""Child processes that are spoken to, real and short: heard out, found out, ended within bounds."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from mesh.child.ending import describe_exit, exits, kill_group
from mesh.child.frames import Gone
from mesh.child.limits import Limits
from mesh.child.process import Process
from mesh.child.start import start
from mesh.errors import ProtocolError
from tests.child_rig import child, encode, words

pytestmark = pytest.mark.processes

WAIT_S = 30.0
LONG_S = 600.0  # no test waits for it


async def test_a_child_that_cannot_be_spoken_to_is_not_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Process] = []
    sockets: list[socket.socket] = []

    async def remembered(*arguments: Any, **changes: Any) -> Process:
        started.append(await start(*arguments, **changes))
        return started[0]

    async def refused(sock: socket.socket, limit: int) -> None:
        sockets.append(sock)
        raise ConnectionError

    monkeypatch.setattr("mesh.child.launch.start", remembered)
    monkeypatch.setattr(asyncio, "open_unix_connection", refused)
    with pytest.raises(ConnectionError):
        await child("deaf")
    assert sockets[0].fileno() == -1
    async with asyncio.timeout(WAIT_S):
        assert await started[0].wait() == -signal.SIGKILL


async def test_parent_and_child_talk_until_it_is_asked_to_end() -> None:
    talk = await child("echo")
    async with asyncio.timeout(WAIT_S):
        assert await words(talk) == ["ready"]
        talk.send(encode("a"))
        assert await words(talk) == ["a"]
        await talk.shut_down(encode("end"), ask_s=LONG_S, terminate_s=LONG_S)
    assert talk.process.returncode == 0


async def test_a_child_that_does_not_listen_is_terminated() -> None:
    talk = await child("deaf")
    async with asyncio.timeout(WAIT_S):
        await words(talk)
        await talk.shut_down(encode("end"), ask_s=0.05, terminate_s=LONG_S)
    assert talk.process.returncode == -signal.SIGTERM


async def test_a_child_that_ignores_sigterm_is_killed() -> None:
    talk = await child("stubborn")
    async with asyncio.timeout(WAIT_S):
        await words(talk)
        await talk.shut_down(encode("end"), ask_s=0.05, terminate_s=0.2)
    assert talk.process.returncode == -signal.SIGKILL


async def test_whoever_gives_up_shutting_down_leaves_no_process() -> None:
    talk = await child("stubborn")
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        await words(talk)
        stop = talk.shut_down(encode("end"), ask_s=LONG_S, terminate_s=LONG_S)
        task = group.create_task(stop)
        await asyncio.sleep(0)
        task.cancel()
    assert talk.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("mode", "why"), [("garbage", "bad message"), ("oversized", "at most")])
async def test_a_child_that_says_what_it_must_not_is_found_out(mode: str, why: str) -> None:
    talk = await child(mode)
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(ProtocolError, match=why):
            await words(talk)
        await talk.end()
        await talk.end()
    assert talk.process.returncode is not None


async def test_half_a_frame_and_then_the_end_is_an_end() -> None:
    talk = await child("half")
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(Gone):
            await words(talk)
        await talk.end()


async def test_a_child_that_dies_with_mail_unread_is_gone_alike() -> None:
    talk = await child("deaf")
    async with asyncio.timeout(WAIT_S):
        await words(talk)
        talk.send(encode("never read"))
        kill_group(talk.process)
        with pytest.raises(Gone):
            await words(talk)
        await talk.end()


async def test_the_last_words_are_those_of_this_child(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("an earlier child's\n")
    talk = await child("crash", stderr=log)
    assert await exits(talk.process, WAIT_S)
    assert describe_exit(await talk.process.wait()) == "exit code 3"
    assert talk.last_words() == "it broke"
    assert talk.log == (log, len("an earlier child's\n"))
    await talk.end()
    silent = await child("half", stderr=log)
    assert await exits(silent.process, WAIT_S)
    assert silent.last_words() == "", "what others wrote before is not its own"
    await silent.end()


async def test_a_child_ends_by_itself_when_our_end_of_the_socket_does() -> None:
    talk = await child("echo")
    async with asyncio.timeout(WAIT_S):
        await words(talk)
        talk._writer.close()
        assert await talk.process.wait() == 0
        await talk.end()


async def test_a_child_that_cannot_start_is_gone_and_has_said_nothing() -> None:
    talk = await child("echo", limits=Limits(memory_bytes=8 * 1024 * 1024))
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(Gone):
            await words(talk)
        await talk.end()
    assert talk.process.returncode != 0

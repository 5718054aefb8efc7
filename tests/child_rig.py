"""``python -m tests.child_rig MODE --fd N``: a short child process that behaves as it is told."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from mesh.child import frames
from mesh.child.frames import FrameReader, Gone
from mesh.child.launch import Child, launch
from mesh.child.limits import UNLIMITED, Limits
from mesh.child.parent import Parent

MAX_BYTES = 1000
RAW = {
    "garbage": b"\x00\x00\x00\x01\xc1",
    "half": frames.encode("never whole", MAX_BYTES)[:-3],
    "oversized": (MAX_BYTES + 1).to_bytes(4),
}


def reader() -> FrameReader[str]:
    return FrameReader(msgspec.msgpack.Decoder(str).decode, "of a test", MAX_BYTES)


def encode(word: str) -> bytes:
    return frames.encode(word, MAX_BYTES)


async def child(mode: str, *, limits: Limits = UNLIMITED, stderr: Path | None = None) -> Child[str]:
    """Started; nothing is said yet."""
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "CHILD_RIG_WORD": "ready"}
    return await launch(
        "tests.child_rig",
        mode,
        frames=reader(),
        limits=limits,
        stderr=stderr,
        environment=environment,
    )


async def words(talk: Child[str]) -> list[str]:
    """The next messages, of which there is one at least."""
    while not (said := await talk.receive()):
        pass
    return said


def main(mode: str, connection: socket.socket) -> None:
    parent: Parent[str, str] = Parent(connection, reader(), encode)
    if mode in RAW:
        connection.sendall(RAW[mode])
        return
    if mode == "crash":
        sys.stderr.write("first\nit broke\n")
        sys.exit(3)
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    parent.send(os.environ["CHILD_RIG_WORD"])
    parent.flush()
    while mode != "echo":
        time.sleep(600)
    for word in parent.mail():
        if word == "end":
            return
        parent.send(word)
        parent.flush()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[3])) as ours, suppress(Gone):
        main(sys.argv[1], ours)

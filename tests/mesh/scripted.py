"""Nodes on the twins that do what a test's script says, and the one answer that they all give."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from mesh.fleet.records import (
    Heartbeat,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    encode_record,
)
from mesh.registry.base import NODES
from mesh.registry.twin import TwinRegistry
from mesh.transport.base import Accepted, Attempt, Failed, Finished, Refused, Sink, Tokens
from mesh.transport.twin import TwinNetwork
from mesh.types import FinishReason, ModelId, NodeId, Piece, Specialty, Usage

MATH = Specialty("math")
CHAT = Specialty("chat")
TOY = ModelId("toy")

Script = Callable[["ScriptedNode", Attempt, Sink], Awaitable[None]]


def word(index: int) -> Piece:
    """Piece ``index`` of the one answer that every scripted node gives."""
    return Piece(id=1000 + index, text=f"w{index} ")


def words(count: int) -> str:
    return "".join(word(index).text for index in range(count))


@dataclass(slots=True)
class ScriptedNode:
    """A node on the twins. ``scripts``: what to do with the first attempts, in order; ``answer``
    afterwards. ``sent``: pieces that credit let through, per attempt."""

    name: str
    network: TwinNetwork
    registry: TwinRegistry
    slots: int = 2
    specialties: tuple[Specialty, ...] = (MATH,)
    model: ModelId = TOY
    model_state: ModelState = ModelState.RESIDENT
    model_error: str | None = None
    context_length: int = 4096
    tokenizer_hash: str = "tok"
    embeds: bool = False
    scripts: list[Script] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    used: int = 0
    state: NodeState = NodeState.READY
    instance: str = "first"
    listener: Any = None

    @property
    def id(self) -> NodeId:
        return NodeId(f"node-{self.name}")

    @property
    def key(self) -> str:
        return f"{NODES}{self.id}"

    def record(self) -> NodeRecord:
        model = ModelRecord(
            id=self.model,
            engine="scripted",
            specialties=self.specialties,
            state=self.model_state,
            error=self.model_error,
            slots=self.slots,
            used_slots=0,
            context_length=self.context_length,
            device="cpu",
            tokenizer_hash=self.tokenizer_hash,
            embeds=self.embeds,
        )
        return NodeRecord(
            id=self.id,
            instance=self.instance,
            name=self.name,
            host="test",
            pid=1,
            state=self.state,
            reason="",
            endpoint=self.listener.endpoint,
            specialties=self.specialties,
            models=(model,),
        )

    def beat(self, used: int | None = None) -> None:
        load = ModelLoad(
            model=self.model,
            state=self.model_state,
            slots=self.slots,
            used_slots=self.used if used is None else used,
        )
        self.listener.heartbeat(Heartbeat(node=self.id, state=self.state, models=(load,)))

    async def run(self) -> None:
        self.listener = self.network.listener(self.id, self.instance)
        self.listener.bind()
        self.beat()
        self.registry.announce(self.key, encode_record(self.record()))
        try:
            await self.listener.run(self.handle)
        finally:
            self.registry.withdraw(self.key)

    async def handle(self, attempt: Attempt, sink: Sink) -> None:
        self.attempts.append(attempt)
        self.sent.append(0)
        script = self.scripts.pop(0) if self.scripts else answer()
        self.used += 1
        self.beat()
        try:
            await script(self, attempt, sink)
        finally:
            self.used -= 1
            self.beat()

    async def send(self, attempt: Attempt, sink: Sink, first: int, pieces: int = 1) -> None:
        index = self.attempts.index(attempt)
        await sink.send(Tokens(first=first, pieces=tuple(word(first + i) for i in range(pieces))))
        self.sent[index] += pieces

    async def accept(self, attempt: Attempt, sink: Sink) -> None:
        await sink.send(Accepted(node=self.id, model=attempt.model))

    async def finish(self, sink: Sink, total: int) -> None:
        usage = Usage(prompt_tokens=7, completion_tokens=total)
        await sink.send(Finished(reason=FinishReason.STOP, usage=usage))


def answer(total: int = 10) -> Script:
    """The whole answer, from where the delivered pieces end."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        for index in range(len(attempt.delivered), total):
            await node.send(attempt, sink, index)
        await node.finish(sink, total)

    return script


def refuse(code: str, message: str = "no", retry_after_s: float | None = None) -> Script:
    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await sink.send(Refused(code=code, message=message, retry_after_s=retry_after_s))

    return script


def fail(after: int, code: str = "engine_failed", message: str = "the engine broke") -> Script:
    """``after`` tokens of this attempt, then a failure."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        begin = len(attempt.delivered)
        for index in range(begin, begin + after):
            await node.send(attempt, sink, index)
        await sink.send(Failed(code=code, message=message))

    return script


def die(after: int) -> Script:
    """``after`` tokens, then the node's connections break, as when its process is killed."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        begin = len(attempt.delivered)
        for index in range(begin, begin + after):
            await node.send(attempt, sink, index)
        # What was sent is on its way first: the twin loses what is under way.
        for _ in range(20):
            await asyncio.sleep(0)
        node.network.reset(node.id)
        await asyncio.Event().wait()

    return script


def hang(after: int = 0, freed: asyncio.Event | None = None) -> Script:
    """``after`` tokens, then nothing until it is cancelled; ``freed`` is set when it was."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        try:
            await node.accept(attempt, sink)
            for index in range(after):
                await node.send(attempt, sink, index)
            await asyncio.Event().wait()
        finally:
            if freed is not None:
                freed.set()

    return script


def endless(freed: asyncio.Event) -> Script:
    """Tokens for as long as somebody takes them, 4 KiB each."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        try:
            await node.accept(attempt, sink)
            for index in count():
                await sink.send(Tokens(first=index, pieces=(Piece(id=index, text="x" * 4096),)))
                node.sent[-1] += 1
        finally:
            freed.set()

    return script


def hold(gate: asyncio.Event, total: int = 3) -> Script:
    """Keeps its slot until ``gate`` opens, then answers."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        await gate.wait()
        for index in range(len(attempt.delivered), total):
            await node.send(attempt, sink, index)
        await node.finish(sink, total)

    return script

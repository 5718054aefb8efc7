"""Many light nodes in one process, for ``benchmarks/fleet_scale.py``: each with a real registry
session and lease of its own, a real ZeroMQ listener, heartbeats, a record of the usual size, and a
handler that answers a few words. ``python -m benchmarks.light_nodes JSON``; prints ``ready``.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass

import msgspec
import uvloop

from mesh.clock import SystemClock
from mesh.fleet.records import (
    Cpu,
    Gpu,
    Heartbeat,
    Memory,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    encode_record,
)
from mesh.registry.base import NODES
from mesh.registry.etcd import EtcdRegistry
from mesh.settings.timing import PRESETS
from mesh.transport.base import Accepted, Attempt, Finished, Sink, Tokens
from mesh.transport.zeromq import ZeroMQListener
from mesh.types import FinishReason, ModelId, NodeId, Piece, Specialty, Usage

WORDS = 8
WRITE_EVERY_S = 1.05
SPECIALTIES = ("math", "code", "chat", "knowledge")
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``first``, ``count``: numbers of this process's nodes. ``change_s``: mean seconds between two
    changes of one node's record; 0: none until told."""

    etcd: str
    preset: str
    first: int
    count: int
    change_s: float


class LightNode:
    """``change`` re-puts the record with the moment of doing so in it: ``at <Unix seconds>`` in
    the field ``accelerator``, which an orchestrator shows as it is."""

    def __init__(self, settings: Settings, number: int, clock: SystemClock) -> None:
        timing = PRESETS[settings.preset]
        self._number = number
        self.id = NodeId(f"node-{number:016x}")
        self._clock = clock
        self._registry = EtcdRegistry(
            settings.etcd,
            prefix="/mesh/v1",
            lease_ttl_s=timing.lease_ttl_s,
            clock=clock,
            rng=random.Random(number),
        )
        self._listener = ZeroMQListener(
            "tcp://127.0.0.1:0",
            node_id=self.id,
            instance=f"{os.getpid()}-{number}",
            timing=timing,
            clock=clock,
        )

    async def run(self, change_s: float) -> None:
        """Serves until cancelled."""
        rng = random.Random(self._number)
        self._listener.bind()
        self._listener.heartbeat(self._heartbeat())
        self.change()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._registry.run())
            group.create_task(self._listener.run(self._handle))
            while change_s:
                # Never sooner than a registry writes the same key again.
                rest_s = max(0.001, change_s - WRITE_EVERY_S)
                await self._clock.sleep(WRITE_EVERY_S + rng.expovariate(1 / rest_s))
                self.change()

    def change(self) -> None:
        self._registry.announce(f"{NODES}{self.id}", encode_record(self._record(time.time())))

    async def _handle(self, attempt: Attempt, sink: Sink) -> None:
        await sink.send(Accepted(node=self.id, model=attempt.model))
        first = len(attempt.delivered)
        pieces = tuple(Piece(id=i, text=f"tok{i} ") for i in range(first, WORDS))
        if pieces:
            await sink.send(Tokens(first=first, pieces=pieces))
        usage = Usage(prompt_tokens=1, completion_tokens=WORDS)
        await sink.send(Finished(reason=FinishReason.STOP, usage=usage))

    def _heartbeat(self) -> Heartbeat:
        loads = tuple(
            ModelLoad(model=ModelId(m), state=ModelState.RESIDENT, slots=4, used_slots=0)
            for m in self._models()
        )
        return Heartbeat(
            node=self.id, state=NodeState.READY, models=loads, free_vram_bytes=(4 * GIB,)
        )

    def _models(self) -> tuple[str, str]:
        return (f"large-{self._number % 4}", f"small-{self._number % 4}")

    def _record(self, at: float) -> NodeRecord:
        specialty = Specialty(SPECIALTIES[self._number % len(SPECIALTIES)])
        models = tuple(
            ModelRecord(
                id=ModelId(model),
                engine="llama_cpp",
                specialties=(specialty,),
                state=ModelState.RESIDENT,
                slots=4,
                used_slots=0,
                context_length=8192,
                device=f"GPU-{self._number:032x}",
                file=f"{model}.gguf",
                file_bytes=4 * GIB,
                architecture="llama",
                parameters=7_000_000_000,
                quantisation="Q4_K_M",
                tokenizer_hash="0" * 64,
                template_hash="1" * 64,
            )
            for model in self._models()
        )
        gpu = Gpu(
            uuid=f"GPU-{self._number:032x}",
            name="NVIDIA GeForce GTX 1080",
            index=0,
            total_bytes=8 * GIB,
            used_bytes=4 * GIB,
            free_bytes=4 * GIB,
            temperature_c=51.0,
            power_w=97.5,
            utilisation=0.3,
            compute_capability="6.1",
        )
        return NodeRecord(
            id=self.id,
            instance=f"{os.getpid()}-{self._number}",
            name=f"light-{self._number:03d}",
            host=f"box-{self._number:03d}",
            pid=os.getpid(),
            state=NodeState.READY,
            reason="",
            endpoint=self._listener.endpoint,
            specialties=(specialty,),
            models=models,
            gpus=(gpu,),
            accelerator=f"at {at:.6f}",
            cpu=Cpu(name="Some CPU", physical_cores=4, logical_cores=8, load=0.2),
            memory=Memory(total_bytes=16 * GIB, available_bytes=9 * GIB),
            started_at=at,
            updated_at=at,
        )


async def serve(settings: Settings) -> None:
    """Runs all nodes until SIGTERM."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    clock = SystemClock()
    async with asyncio.TaskGroup() as group:
        numbers = range(settings.first, settings.first + settings.count)
        tasks = [
            group.create_task(LightNode(settings, number, clock).run(settings.change_s))
            for number in numbers
        ]
        print("ready", flush=True)
        await over.wait()
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(msgspec.convert(json.loads(sys.argv[1]), Settings)))

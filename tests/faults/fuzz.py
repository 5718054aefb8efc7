"""A million inputs that no good peer would send, into what reads wires: is anything ever broken?

Method. Inputs are good frames and messages with edits to bytes and to structure, drawn from one
seed (``tests/faults/mutation.py``), in three parts: 80% go to the frame decoder alone; 19% go, in
sequences of up to 12, to a live listener and a live dialer over the twin of a wire in moved time,
each beside an honest peer whose stream must go on; 1% go as raw bytes to real gRPC servers: a whole
orchestrator's (Generate, Route, Fleet) and a node's own (Direct, with a ticket). A finding is
anything but ``ProtocolError`` from the decoder, a task or an honest stream that ends, an
error-level log line, an answer INTERNAL, UNKNOWN or without its error code, or a good request that
is not answered afterwards.

Run: ``python -m tests.faults.fuzz [--inputs N] [--seed N]`` from the repository; exit code 1 on any
finding.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence

from tests.faults.fuzz_grpc import METHODS, Gateway
from tests.faults.fuzzing import DataPlane, decoding, errors_of
from tests.faults.moved_time import LoopClock, run_moved
from tests.faults.mutation import (
    altered_message,
    good_frame,
    mutated_bytes,
    mutated_frame,
    random_message,
)

DEFAULT_INPUTS = 1_000_000
SESSION_SHARE = 0.19
GRPC_SHARE = 0.01
PER_RIG = 3_000  # frames until a fresh listener and dialer take their turn
MOST_FRAMES = 12  # said by one bad peer
SHOWN = 20  # findings


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints rates and findings; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=DEFAULT_INPUTS, help="in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all inputs (%(default)s)")
    given = parser.parse_args(arguments)
    rng = random.Random(given.seed)
    sessions, calls = int(given.inputs * SESSION_SHARE), int(given.inputs * GRPC_SHARE)
    parts: dict[str, tuple[Callable[[random.Random, int], tuple[int, list[str]]], int]] = {
        "frame decoder": (_decoder, given.inputs - sessions - calls),
        "live sessions, frames": (_sessions, sessions),
        "gRPC handlers, requests": (_handlers, calls),
    }
    findings = []
    for name, (part, count) in parts.items():
        begun = time.perf_counter()
        done, found = part(rng, count)
        seconds = time.perf_counter() - begun
        rate = done / max(seconds, 1e-9)
        print(f"{name}: {done:,} at {rate:,.0f}/s, {len(found)} findings", flush=True)
        findings += found
    for finding in findings[:SHOWN]:
        print(f"FINDING {finding}")
    return 1 if findings else 0


def _decoder(rng: random.Random, count: int) -> tuple[int, list[str]]:
    found = [finding for _ in range(count) if (finding := decoding(mutated_frame(rng)))]
    return count, found


def _sessions(rng: random.Random, count: int) -> tuple[int, list[str]]:
    done, findings = 0, []
    while done < count:
        seed = rng.getrandbits(32)
        with errors_of("mesh.transport") as logged:
            frames, found = run_moved(_rig(random.Random(seed), min(PER_RIG, count - done)))
        done += frames
        findings += [f"seed {seed}: {what}" for what in (*found, *logged)]
    return done, findings


async def _rig(rng: random.Random, count: int) -> tuple[int, list[str]]:
    done = 0
    async with DataPlane(LoopClock()) as plane:
        while done < count:
            said = [
                good_frame(rng, stream=rng.choice((1, 2, 3)) if rng.random() < 0.8 else None)
                if rng.random() < 0.6
                else mutated_frame(rng)
                for _ in range(rng.randint(1, MOST_FRAMES))
            ]
            if rng.random() < 0.5:
                await plane.strike(said, greet=rng.random() < 0.9)
            else:
                await plane.answer(said)
            await plane.check()
            done += len(said)
            if plane.findings:
                break
        return done, plane.findings


def _handlers(rng: random.Random, count: int) -> tuple[int, list[str]]:
    findings = []
    with errors_of("orchestrator", "node", "mesh", "asyncio") as logged, Gateway() as gateway:
        for number in range(count):
            method = rng.choice(tuple(METHODS))
            finding = gateway.ask(method, _message(rng, method, gateway))
            if finding is None and number % 500 == 0:
                finding = gateway.sound()
            if finding is not None:
                findings.append(finding)
        findings += [finding for finding in (gateway.sound(),) if finding is not None]
    return count, findings + list(logged)


def _message(rng: random.Random, method: str, gateway: Gateway) -> bytes:
    match rng.randrange(4):
        case 0:
            return mutated_bytes(rng, gateway.good(method).SerializeToString())
        case 1:
            return random_message(rng, METHODS[method]).SerializeToString()
        case _:
            message = altered_message(rng, gateway.good(method))
            return altered_message(rng, message).SerializeToString()


if __name__ == "__main__":
    sys.exit(main())

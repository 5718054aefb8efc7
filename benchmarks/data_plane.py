"""The data plane's bars: what an orchestrator adds to the first token, relays, and holds open.

    python -m benchmarks.data_plane ttft|relay|streams [--transport grpc] [--seconds N]

Method. Real processes on loopback: etcd, one orchestrator with 500 rules, scripted nodes
(``benchmarks.zero_node``: the real data plane with nothing behind it), and one client process, this
one, which parses every message and checks every stream for gaps, repetitions and errors. No request
names a specialty, so the cascade decides each. Ours and floors alternate within the run; the first
round warms up and is thrown away. All latencies are seen by the client.

* ``ttft``: one client, one request at a time, one token, through the orchestrator and, with a
  ticket, by the node's ``Direct`` service. *Direct*: a bare gRPC server in the node's process sends
  the same events. *Added*: the difference of the percentiles, and the p50 of each round's.
* ``relay``: 32 clients in a closed loop, 256 tokens each as fast as they come. Floors: a bare gRPC
  relay (client, relay, server, bytes as bytes) with as many tokens a message as ours had on
  average, and a bare DEALER and ROUTER pair with the same batching (``benchmarks.transport``):
  "same work" makes, encodes and decodes the tokens, "bytes only" sends one message again and again.
* ``streams``: 1,000 streams at once over 10 nodes, 5 tokens/s each, then faster until it breaks;
  started over 4 s, and measured from then on.
  The node writes the moment of sending into each token, so the delay is what a gap between two
  tokens has beyond the node's own. Broken: an error, a gap, or p99 over 50 ms. The bare relay does
  the same at each pace. Memory: what the orchestrator's resident set grew by, a stream.

Ends with 1 when a stream has a gap or an error where it must not.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from benchmarks import transport as bare
from benchmarks.data_plane_rig import (
    DIRECT,
    METHOD,
    Reading,
    Rig,
    callers,
    read,
    request,
    rig,
    ticket,
    with_ticket,
)
from benchmarks.figures import Row, percentile, show, spread

STREAMS, NODES, BASE_PACE = 1_000, 10, 5
LIMIT_MS = 50.0
RAMP_S = 4.0
PACES = (5, 10, 15, 20, 30, 40, 60)
CHANNELS = 8


async def ttft(options: argparse.Namespace) -> int:
    readings = {"orchestrator": Reading(), "ticket": Reading(), "direct": Reading()}
    rounds: dict[str, list[float]] = {"orchestrator": [], "ticket": []}
    async with rig(1, transport=options.transport) as running:
        at, token = await ticket(running.orchestrator)
        asked = request(1)
        ways = {
            "orchestrator": (running.orchestrator, METHOD, asked),
            "ticket": (at, DIRECT, with_ticket(token, asked)),
            "direct": (f"127.0.0.1:{running.nodes[0].port}", METHOD, asked),
        }
        count = max(50, int(options.seconds * 15))
        for number in range(6):
            middle = {}
            for way, (endpoint, method, message) in ways.items():
                async with callers(endpoint, 1, method) as (call,):
                    found = readings[way] if number else Reading()
                    before = len(found.ttft_s)
                    for _ in range(count):
                        await read(call, message, 1, found)
                    middle[way] = 1e3 * percentile(found.ttft_s[before:], 0.5)
            if number:
                for way, differences in rounds.items():
                    differences.append(middle[way] - middle["direct"])
    times = {way: [1e3 * s for s in reading.ttft_s] for way, reading in readings.items()}
    rows = [Row("first token from the node direct", "", spread(times["direct"], "ms"))]
    bars = {"orchestrator": "bars 1.0, 3", "ticket": "bar 0.1"}
    for way, differences in rounds.items():
        more = [percentile(times[way], p) - percentile(times["direct"], p) for p in (0.5, 0.99)]
        each = " ".join(f"{ms:.2f}" for ms in sorted(differences))
        rows += [
            Row(f"first token, by {way}", spread(times[way], "ms")),
            Row(f"... added ({bars[way]} ms)", f"p50 {more[0]:.2f} ms, p99 {more[1]:.2f} ms"),
            Row("... p50 of each round", f"{each} ms"),
        ]
    show("Time to first token, one client", rows)
    return _faults(*readings.values())


async def relay(options: argparse.Namespace) -> int:
    ours, gate = Reading(), Reading()
    rates: dict[str, list[float]] = {"ours": [], "relay": [], "same": [], "bytes": []}
    busy: list[float] = []
    router, endpoint = bare.start(bare.floor_process)
    try:
        async with rig(1, transport=options.transport, batch=options.batch) as running:
            floor = bare.Floor(endpoint)
            for number in range(options.rounds + 1):
                seconds = options.seconds / (4 * options.rounds)
                found = ours if number else Reading()
                began, spent = time.perf_counter(), _cpu(running)
                rate = await _closed_loop(running.orchestrator, found, seconds)
                load = (_cpu(running) - spent) / (time.perf_counter() - began)
                each = found.each
                other = await _closed_loop(
                    running.relay, gate if number else Reading(), seconds, each
                )
                amount = int(max(rate, 100_000) * seconds)
                same = await asyncio.to_thread(floor.same_work, amount, each, options.batch)
                raw = await asyncio.to_thread(floor.bytes_only, amount, each)
                if number:
                    for name, value in zip(rates, (rate, other, same, raw), strict=True):
                        rates[name].append(value)
                    busy.append(load)
    finally:
        router.kill()
        router.join()
    middle = {name: statistics.median(values) for name, values in rates.items()}
    figure = f"{middle['ours']:,.0f} tokens/s"

    def row(what: str, name: str) -> Row:
        ratio = middle["ours"] / middle[name]
        return Row(what, figure, f"{middle[name]:,.0f}", f"{ratio:.2f}")

    rows = [
        Row("relay, 32 streams x 256 tokens", figure, "lowest " + f"{min(rates['ours']):,.0f}"),
        row("beside a bare gRPC relay", "relay"),
        row("beside bare pyzmq, the same work", "same"),
        row("beside bare pyzmq, bytes only", "bytes"),
        Row("tokens an event, on average", str(ours.each)),
        Row("orchestrator's CPU", f"{statistics.median(busy):.2f} cores"),
        Row(
            "orchestrator's CPU a token",
            f"{1e6 * statistics.median(busy) / middle['ours']:.1f} us, streams' start included",
        ),
    ]
    show("Relay: bars 150,000 tokens/s, and half of bare pyzmq's", rows)
    return _faults(ours, gate)


async def _closed_loop(endpoint: str, into: Reading, seconds: float, each: int = 1) -> float:
    """Tokens per second of 32 clients that ask again and again."""
    before = into.tokens
    async with callers(endpoint, CHANNELS) as calls:
        began = time.perf_counter()

        async def client(number: int) -> None:
            while time.perf_counter() - began < seconds and not into.faults:
                await read(calls[number % CHANNELS], request(256), 256, into, each=each)

        async with asyncio.TaskGroup() as group:
            for number in range(32):
                group.create_task(client(number))
        return (into.tokens - before) / (time.perf_counter() - began)


async def streams(options: argparse.Namespace) -> int:
    rows: list[Row] = []
    broken: dict[str, str] = {}
    failed, reached, began = 0, 0, time.monotonic()
    async with rig(NODES, transport=options.transport) as running:
        ways = {"Squadron": running.orchestrator, "bare relay": running.relay}
        for endpoint in ways.values():
            await _at_once(endpoint, 2, 1.0, Reading())  # warm-up: all code and pools are there
        for pace in PACES:
            figures = {}
            for name, endpoint in ways.items():
                if name in broken:
                    figures[name] = "-"
                    continue
                found, before, spent = Reading(), running.process.memory_info().rss, _cpu(running)
                seconds = options.seconds / 4 if pace == BASE_PACE else options.seconds / 10
                peak = await _at_once(endpoint, pace, seconds, found, running)
                load = (_cpu(running) - spent) / (seconds + RAMP_S)
                delays = [1e3 * s for s in found.beyond_s] or [float("inf")]
                p99 = percentile(delays, 0.99)
                figures[name] = f"p99 {p99:.1f} ms, worst {max(delays):.0f} ms"
                if found.faults or p99 > LIMIT_MS:
                    why = found.faults[0] if found.faults else f"p99 {p99:.0f} ms"
                    broken[name] = f"{pace} tokens/s a stream: {why}"
                if name == "Squadron" and pace == BASE_PACE:
                    failed = len(found.faults) + (p99 > LIMIT_MS)
                    each = (peak - before) / STREAMS / 1024
                    rows.append(Row("memory a stream", f"{each:.0f} KiB", "orchestrator's RSS"))
                    rows.append(Row("CPU", f"{load:.2f} cores", "orchestrator's"))
            rows.append(
                Row(f"{STREAMS} streams at {pace} tokens/s", *(figures[name] for name in ways))
            )
            reached = pace
            if len(broken) == len(ways) or time.monotonic() - began > options.longest:
                break
    for name in ways:
        where = broken.get(name, f"not up to {reached} tokens/s")
        rows.append(Row(f"{name} breaks at", where))
    show("1,000 streams over 10 nodes: bar 50 ms beyond the nodes' own pace", rows)
    return int(failed > 0)


async def _at_once(
    endpoint: str, pace: int, seconds: float, into: Reading, running: Rig | None = None
) -> int:
    """All streams side by side for so many seconds, after a start one by one that does not count;
    the orchestrator's largest resident set."""
    tokens = int(pace * (seconds + RAMP_S))
    into.since = time.monotonic_ns() + int(1e9 * RAMP_S)
    asked = request(tokens, pace_us=int(1e6 / pace))
    peak = 0
    async with callers(endpoint, CHANNELS) as calls, asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[None]] = []
        for number in range(STREAMS):
            call = calls[number % CHANNELS]
            tasks.append(group.create_task(read(call, asked, tokens, into, paced=True)))
            await asyncio.sleep(RAMP_S / STREAMS)
        while running is not None and not all(task.done() for task in tasks):
            peak = max(peak, running.process.memory_info().rss)
            await asyncio.sleep(0.25)
    return peak


def _cpu(running: Rig) -> float:
    times = running.process.cpu_times()
    return float(times.user + times.system)


def _faults(*readings: Reading) -> int:
    faults = [fault for reading in readings for fault in reading.faults]
    for fault in faults[:5]:
        print(f"fault: {fault}", file=sys.stderr)
    return int(bool(faults))


COMMANDS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, int]]] = {
    "ttft": ttft,
    "relay": relay,
    "streams": streams,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="the data plane's bars")
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("--transport", choices=["zeromq", "grpc"], default="zeromq")
    parser.add_argument("--seconds", type=float, default=28.0, help="of measuring, about")
    parser.add_argument(
        "--longest", type=float, default=70.0, help="seconds; then streams raises its pace no more"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of relay")
    parser.add_argument("--batch", type=int, default=16, help="tokens a send at the node, in relay")
    options = parser.parse_args()
    gc.freeze()
    gc.disable()  # the client's own pauses are not what is measured
    return int(uvloop.run(COMMANDS[options.what](options)))


if __name__ == "__main__":
    sys.exit(main())

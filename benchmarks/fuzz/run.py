"""One target in a process of its own, so that what would end a process ends only this one.

Between batches the child says how far it is, its memory and its open files; when it dies, its last
word says within how few inputs the fatal one is, and they are tried one a process.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import resource
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import psutil

from benchmarks.fuzz.target import Target, load

BATCH = 2_000
WARM_SHARE = 0.1  # of the inputs, before memory and files count
MAX_DATA_BYTES = 3 << 30  # an input that takes more ends the child, and is a finding
MAX_FINDINGS = 20
SILENT_S = 120.0  # a batch that takes longer hangs

_LIBC = ctypes.CDLL(None)


@dataclass(slots=True)
class Result:
    """``rss`` in bytes and ``files`` open, (when warm, at the end); ``slowest_s``
    of CPU, one input."""

    name: str
    done: int = 0
    seconds: float = 0.0
    refused: int = 0
    slowest_s: float = 0.0
    slowest: int = -1
    rss: tuple[int, int] = (0, 0)
    files: tuple[int, int] = (0, 0)
    ended: int = 0
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Word:
    upto: int
    refused: int
    slowest_s: float
    slowest: int
    rss: int
    files: int
    findings: tuple[str, ...]


def run(name: str, seed: int, inputs: int, slow_s: float) -> Result:
    """``inputs`` inputs into ``name``; more than ``slow_s`` of CPU for one is a finding."""
    result, begun, at = Result(name), time.perf_counter(), 0
    while at < inputs and len(result.findings) < MAX_FINDINGS:
        reached = at
        for word in _child(name, seed, at, inputs, slow_s):
            _note(result, word, warm=word.upto >= inputs * WARM_SHARE)
            reached = word.upto
        if reached < inputs:  # it ended: by which of the next batch?
            at = min(reached + BATCH, inputs)
            result.ended += 1
            result.findings.append(_fatal(name, seed, reached, at, slow_s))
        else:
            at = reached
    result.done, result.seconds = at, time.perf_counter() - begun
    return result


def _note(result: Result, word: _Word, warm: bool) -> None:
    result.refused += word.refused
    if word.slowest_s > result.slowest_s:
        result.slowest_s, result.slowest = word.slowest_s, word.slowest
    if warm:
        result.rss = (result.rss[0] or word.rss, word.rss)
        result.files = (result.files[0] or word.files, word.files)
    result.findings.extend(word.findings)


def _fatal(name: str, seed: int, start: int, stop: int, slow_s: float) -> str:
    for number in range(start, stop):
        if not any(True for _ in _child(name, seed, number, number + 1, slow_s)):
            return f"input {number} ends the process, or hangs it for {SILENT_S:.0f} s"
    return f"the process ended within inputs {start} to {stop}, by none of them alone"


def _child(name: str, seed: int, start: int, stop: int, slow_s: float) -> Iterator[_Word]:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_main, args=(theirs, name, seed, start, stop, slow_s))
    process.start()
    theirs.close()
    try:
        while ours.poll(SILENT_S):
            yield ours.recv()
    except EOFError:
        pass
    finally:
        process.kill()
        process.join()
        ours.close()


def _main(out: Connection, name: str, seed: int, start: int, stop: int, slow_s: float) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, MAX_DATA_BYTES))
    target, me = load(name), psutil.Process()
    for batch in range(start, stop, BATCH):
        upto = min(batch + BATCH, stop)
        word = _batch(target, seed, range(batch, upto), slow_s)
        _given_back()
        rss, files = me.memory_info().rss, len(os.listdir("/proc/self/fd"))
        out.send(_Word(upto, *word[:3], rss, files, word[3]))


def _given_back() -> None:
    """What is only not yet collected, or kept by the allocator, is not what the product keeps."""
    gc.collect()
    _LIBC.malloc_trim(0)


def _batch(
    target: Target, seed: int, numbers: range, slow_s: float
) -> tuple[int, float, int, tuple[str, ...]]:
    refused, slowest_s, slowest = 0, 0.0, -1
    findings = []
    for number in numbers:
        data = target.input(seed, number)
        begun = time.thread_time()  # the machine is shared: what it took, not how long it was
        try:
            target.decode(data)
        except target.expected:
            refused += 1
        except Exception as error:  # noqa: BLE001  anything else is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            what = (
                f"{type(error).__name__}: {str(error)[:100]!r} at {where.filename}:{where.lineno}"
            )
            findings.append(f"input {number}: {what}")
        took = time.thread_time() - begun
        if took > slow_s:
            findings.append(f"input {number} ({len(data):,} bytes) takes {took:.2f} s")
        if took > slowest_s:
            slowest_s, slowest = took, number
    return refused, slowest_s, slowest, tuple(findings)

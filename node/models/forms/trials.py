"""The agent's side: each form is tried once, in a child that may hang, crash or be filled by it.

The child is started when the first form comes, holds one model's vocabulary, and is ended once
nobody has asked it for a while. A form that costs the child its life is refused, with the limit
that it met; the next one finds a fresh child. Where no child can be started, forms are not tried,
and the limits on a runner's steps have to do.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from mesh.child.ending import describe_exit, exits, kill_group
from mesh.child.frames import Gone
from mesh.child.launch import Child, launch
from mesh.child.limits import Limits
from mesh.clock import Clock
from mesh.errors import FormExplodes, InvalidRequest, Overloaded, ProtocolError
from mesh.types import Sampling
from node.models.forms import messages as m

log = logging.getLogger(__name__)

CPU_S = 2  # of one trial
MEMORY_MB = 512  # that one trial may take beside the vocabulary
WAIT_S = 45.0  # for a child that a busy box does not let run; its start included
MOST_WAITING = 8  # trials at one child, the running one included
MOST_KNOWN = 512  # verdicts; the one asked for longest ago is dropped
IDLE_S = 300.0
BUSY_RETRY_S = 1.0
_END_S = 2.0  # from the end of its socket to its exit

_Child = Child[m.FromTrial]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a form is tried with. ``module``: of the process (``EngineTraits.trial``); ``source``:
    the model's file."""

    module: str
    source: str


@dataclass(frozen=True, slots=True)
class _Verdict:
    """``wrong``: what is, "" for nothing; ``explodes``: that it met a limit."""

    wrong: str
    explodes: bool = False


_Key = tuple[Vocabulary, bytes]


def _key(vocabulary: Vocabulary, sampling: Sampling) -> _Key:
    form = repr((sampling.grammar, sampling.json_schema)).encode("utf-8", "replace")
    return vocabulary, hashlib.blake2b(form, digest_size=16).digest()


class FormTrials:
    """``run`` ends the children, and must run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._benches: dict[Vocabulary, _Bench] = {}
        self._known: OrderedDict[_Key, _Verdict] = OrderedDict()

    async def check(self, vocabulary: Vocabulary, sampling: Sampling, timeout_s: float) -> None:
        """Raises ``FormExplodes``, ``InvalidRequest`` for what is no form, and ``Overloaded``
        when it cannot be said in time."""
        key = _key(vocabulary, sampling)
        verdict = self._known.get(key)
        if verdict is None:
            bench = self._benches.setdefault(vocabulary, _Bench(vocabulary, self._clock))
            verdict = await bench.verdict(sampling, min(timeout_s, WAIT_S))
            if verdict is None:
                return  # nobody can say
            self._known[key] = verdict
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        if verdict.wrong:
            kind = FormExplodes if verdict.explodes else InvalidRequest
            raise kind(verdict.wrong)

    def known(self, vocabulary: Vocabulary, sampling: Sampling) -> bool:
        """Whether ``check`` says it at once."""
        return _key(vocabulary, sampling) in self._known

    async def run(self) -> None:
        """Ends children that are done with, until cancelled; then all of them."""
        try:
            while True:
                await self._clock.sleep(1.0)
                for bench in tuple(self._benches.values()):
                    await bench.tidy()
        finally:
            for bench in self._benches.values():
                bench.close()
            for bench in self._benches.values():
                await bench.tidy()


class _Bench:
    """One vocabulary's child."""

    def __init__(self, vocabulary: Vocabulary, clock: Clock) -> None:
        self._vocabulary = vocabulary
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._number = 0
        self._child: _Child | None = None
        self._done_with: list[_Child] = []
        self._used_at = clock.now()
        self._unable_until = float("-inf")

    async def verdict(self, sampling: Sampling, timeout_s: float) -> _Verdict | None:
        """None where nobody can say. Raises ``Overloaded``."""
        if self._clock.now() < self._unable_until:
            return None
        if self._waiting >= MOST_WAITING:
            raise _busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_s), self._turn:
                return await self._tried(sampling)
        except TimeoutError:
            raise _busy() from None
        finally:
            self._waiting -= 1
            self._used_at = self._clock.now()

    async def _tried(self, sampling: Sampling) -> _Verdict | None:
        child = self._child
        try:
            if child is None:
                child = self._child = await self._launch()
                match await _hear(child):
                    case m.Ready():
                        pass
                    case m.Unable(message=why):
                        self._unable(why)
                        return None
                    case _:
                        self._unable("it spoke out of turn")
                        return None
        except OSError as error:
            self._unable(f"cannot start: {error.strerror}")
            return None
        except (Gone, ProtocolError):
            self._unable("it ended before it was ready")
            return None
        except asyncio.CancelledError:
            self.close()
            raise
        self._number += 1
        done = False
        try:
            child.send(m.encode(m.Try(number=self._number, sampling=sampling, cpu_s=CPU_S)))
            reply = await _hear(child)
            if isinstance(reply, m.Tried) and reply.number == self._number:
                done = True
                return _Verdict(reply.wrong, reply.explodes)
            self._unable("it spoke out of turn")
            return None
        except (Gone, ProtocolError):
            await exits(child.process, _END_S)
            return _Verdict(_deadly(child.process.returncode), True)
        finally:
            if not done:
                self.close()

    async def _launch(self) -> _Child:
        """Raises ``OSError``."""
        return await launch(
            self._vocabulary.module,
            self._vocabulary.source,
            "--memory-mb",
            str(MEMORY_MB),
            frames=m.at_agent(),
            limits=Limits(file_bytes=0, core_bytes=0),
            stderr=Path(os.devnull),
            # A vocabulary needs no GPU, and a crash no debugger.
            environment={
                **os.environ,
                "CUDA_VISIBLE_DEVICES": "",
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
                "GGML_NO_BACKTRACE": "1",
            },
        )

    def _unable(self, why: str) -> None:
        log.warning("forms are not tried for %s: %s", self._vocabulary.source, why)
        self._unable_until = self._clock.now() + IDLE_S
        self.close()

    def close(self) -> None:
        """Kills the child; ``tidy`` collects it."""
        child, self._child = self._child, None
        if child is not None:
            kill_group(child.process)
            self._done_with.append(child)

    async def tidy(self) -> None:
        """Collects what has ended, and ends what has been idle."""
        if not self._waiting and self._clock.now() - self._used_at > IDLE_S:
            self.close()
        done, self._done_with = self._done_with, []
        for child in done:
            await child.end()


def _deadly(code: int | None) -> str:
    """What is wrong with a form that ended the child that tried it."""
    if code == -signal.SIGXCPU:
        met = f"trying it takes more than {CPU_S} s"
    elif code is not None and -code in (signal.SIGABRT, signal.SIGKILL):
        met = f"trying it takes more than {MEMORY_MB} MB of memory"
    else:
        met = f"trying it breaks the engine ({describe_exit(code or 0)})"
    return (
        f"grammar: {met}, which is the limit; it leaves too many ways open at once: let what may "
        "follow be told apart by its first characters, and let nothing that may be empty repeat"
    )


def _busy() -> Overloaded:
    return Overloaded(
        "this node is too busy to try the grammar or JSON schema now", retry_after_s=BUSY_RETRY_S
    )


async def _hear(child: _Child) -> m.FromTrial:
    """Raises ``Gone``, ``ProtocolError``."""
    while not (said := await child.receive()):
        pass
    if len(said) > 1:
        raise ProtocolError("it spoke out of turn")
    return said[0]

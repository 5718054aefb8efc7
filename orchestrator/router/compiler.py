"""New rules are compiled in a child process, for some of them never end and nothing stops a thread.

The child (``compiler_child``) has limits in time and memory; cancelling kills it. What it made is
laid into the cache, from which the stage of these rules then takes it without compiling anything.
Rules that were compiled before need no child, where they are few enough to be read here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable

import msgspec

from mesh.child.ending import describe_exit
from mesh.child.frames import Gone
from mesh.child.launch import Child, launch
from mesh.child.limits import Limits
from mesh.errors import ConfigError, ProtocolError, RuleError
from orchestrator.router import compiler_messages as m
from orchestrator.router.compiled import CompiledRules
from orchestrator.router.rule_file import MAX_FILE_BYTES, RulePart, RuleSet, parse
from orchestrator.router.rules import entries_of

# (content, what errors call its source) -> the rules, which no stage need wait for any more.
# Raises ``RuleError``; ``ConfigError`` when they could not be tried.
Compile = Callable[[bytes, str], Awaitable[RuleSet]]

TIMEOUT_S = 60.0
NICE = 5  # streams come first, where cores are few; but for the first rules all wait
MEMORY_BYTES = 2 * 1024**3  # of address space
MAX_RESULT_BYTES = 256 * 1024 * 1024
READ_HERE_BYTES = 256 * 1024  # are read within a tenth of a second
_REMEDY = "counted gaps such as .{0,40} multiply: count lower, use '.*', or have fewer of them"

_LOG = logging.getLogger(__name__)


async def read_here(content: bytes, where: str) -> RuleSet:
    """Leaves compiling to the stage, in this process: for tools, and tests of everything else."""
    return await asyncio.to_thread(parse, content, where=where)


class RulesCompiler:
    """A ``Compile``. ``timeout_s`` and ``memory_bytes``: for one set of rules, in all."""

    def __init__(
        self,
        cache: CompiledRules,
        *,
        timeout_s: float = TIMEOUT_S,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._cache = cache
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._have_some = False

    async def __call__(self, content: bytes, where: str) -> RuleSet:
        if not READ_HERE_BYTES < len(content) <= MAX_FILE_BYTES:
            rules = await asyncio.to_thread(parse, content, where=where)
            if await asyncio.to_thread(self._known, rules):
                self._have_some = True
                return rules
        _LOG.info("compiling the rules of %s, once: it takes some seconds", where)
        made = await self._made(content, where)
        return await asyncio.to_thread(self._taken, made)

    def _known(self, rules: RuleSet) -> bool:
        return all(self._cache.recall(entries_of(rules, part)) for part in RulePart)

    def _taken(self, made: dict[str, bytearray]) -> RuleSet:
        self._have_some = True
        rules = msgspec.msgpack.decode(made.pop(m.RULES), type=RuleSet)
        self._cache.take(made)
        return rules

    async def _made(self, content: bytes, where: str) -> dict[str, bytearray]:
        """The rules and their databases, as the child has sent them. Raises ``RuleError``,
        ``ConfigError``."""
        try:
            child = await launch(
                "orchestrator.router.compiler_child",
                frames=m.at_parent(),
                limits=Limits(memory_bytes=self._memory_bytes, core_bytes=0),
                environment={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        except OSError as error:
            raise ConfigError(f"cannot start the rules' compiler: {error.strerror}") from None
        try:
            folder = str(self._cache.folder)
            child.send(
                m.encode(
                    m.Compile(
                        content=content,
                        where=where,
                        folder=folder,
                        cpu_s=int(self._timeout_s) + 1,
                        nice=NICE if self._have_some else 0,
                    )
                )
            )
            async with asyncio.timeout(self._timeout_s):
                return await _heard(child, where)
        except TimeoutError:
            raise self._too_long(where) from None
        except ProtocolError as error:
            raise RuleError(f"{where}: the rules' compiler broke: {error.message}") from None
        except Gone:
            code = await child.process.wait()
            if code == -signal.SIGXCPU:
                raise self._too_long(where) from None
            raise RuleError(
                f"{where}: the rules' compiler ended early ({describe_exit(code)}), as it does "
                f"when it needs more than {self._memory_bytes / 2**30:.1f} GiB of memory; {_REMEDY}"
            ) from None
        finally:
            await child.end()

    def _too_long(self, where: str) -> RuleError:
        return RuleError(f"{where}: compiling takes more than {self._timeout_s:g} s; {_REMEDY}")


async def _heard(child: Child[m.FromCompiler], where: str) -> dict[str, bytearray]:
    made: dict[str, bytearray] = {}
    size = 0
    while True:
        for said in await child.receive():
            match said:
                case m.Piece(of=name, data=data):
                    size += len(data)
                    if size > MAX_RESULT_BYTES:
                        most = f"{MAX_RESULT_BYTES // 2**20} MiB"
                        raise RuleError(f"{where}: compiled they are more than {most}; {_REMEDY}")
                    made.setdefault(name, bytearray()).extend(data)
                case m.Refused(message=message):
                    raise RuleError(message)
                case m.Done() if m.RULES in made:
                    return made
                case m.Done():
                    raise ProtocolError("it made nothing")

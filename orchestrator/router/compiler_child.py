"""``python -m orchestrator.router.compiler_child``: started by ``RulesCompiler``, not by hand.

Checks and compiles one set of rules, under the limits that it is started with (address space, no
core files) and one that it sets itself (CPU time), says what came of it, and ends.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import hyperscan
import msgspec

from mesh.child.frames import Gone
from mesh.child.limits import limit_cpu
from mesh.child.parent import Parent
from mesh.errors import ProtocolError, RuleError
from orchestrator.router import compiler_messages as m
from orchestrator.router.compiled import CompiledRules, Entry
from orchestrator.router.rule_file import parse
from orchestrator.router.rules import RulesStage

EXIT_OK, EXIT_NO_MEMORY = 0, 71  # as in sysexits.h
_MAX_WHY = 4000

_Parent = Parent[m.Compile, m.FromCompiler]


class _Collected(CompiledRules):
    """The cache on disk, and what was taken from it or put there by now."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.made: dict[str, bytes] = {}

    def load(self, entries: Sequence[Entry]) -> hyperscan.Database | None:
        database = super().load(entries)
        if database is not None:
            self.made[self.name(entries)] = hyperscan.dumpb(database)
        return database

    def keep(self, entries: Sequence[Entry], database: hyperscan.Database) -> None:
        self.made[self.name(entries)] = hyperscan.dumpb(database)
        super().keep(entries, database)


def work(asked: m.Compile, parent: _Parent) -> None:
    """Raises ``Gone``."""
    cache = _Collected(Path(asked.folder))
    try:
        rules = parse(asked.content, where=asked.where)
        RulesStage(rules, where=asked.where, cache=cache)
    except RuleError as error:
        parent.send(m.Refused(message=error.message[:_MAX_WHY]))
    else:
        for name, data in ((m.RULES, msgspec.msgpack.encode(rules)), *cache.made.items()):
            for begin in range(0, len(data), m.PIECE_BYTES):
                parent.send(m.Piece(of=name, data=data[begin : begin + m.PIECE_BYTES]))
                parent.flush()
        parent.send(m.Done())
    parent.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.router.compiler_child")
    parser.add_argument("--fd", type=int, required=True, help="socket to its parent")
    # Ctrl-C in a terminal reaches the whole group; the parent decides what ends when.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=parser.parse_args().fd) as connection:
        parent: _Parent = Parent(connection, m.at_child(), m.encode)
        try:
            asked = next(parent.mail())
            os.nice(asked.nice)
            limit_cpu(asked.cpu_s)
            work(asked, parent)
        except (Gone, ProtocolError):
            return EXIT_OK
        except MemoryError:
            return EXIT_NO_MEMORY
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())

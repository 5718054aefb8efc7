"""One module's mutants against its tests, in a process of its own.

The broken module takes the place of the real one as it is imported, so nothing is written to disk.
Tests are collected once; each mutant is switched on in a fork, which runs them until one fails.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from mutmut.mutation.trampoline import set_mutant_under_test

_FORK = multiprocessing.get_context("fork")
_OPTIONS = ["-n0", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
_SLACK_S = 5.0  # beside a multiple of the unbroken run: what a busy machine may add
_TIMES = 4.0


@dataclass(frozen=True)
class Outcome:
    killed: bool
    by_time: bool = False


class Trial:
    def __init__(self, module: str, path: Path, source: str, tests: Sequence[str]) -> None:
        """Raises RuntimeError where the tests do not pass on the module as it is."""
        self._module, self._tests = module, list(tests)
        sys.meta_path.insert(0, _InPlaceOf(module, path, source))
        with _quiet():
            code = int(pytest.main([*_OPTIONS, "--collect-only", *self._tests]))
        if code:
            raise RuntimeError(f"{module}: its tests are not collected (pytest says {code})")
        began = time.monotonic()
        failed, _ = self._run("", limit_s=600)
        if failed:
            raise RuntimeError(f"{module}: its tests fail unbroken (pytest says {failed})")
        if module not in sys.modules:
            raise RuntimeError(f"{module}: its tests never import it")
        self.limit_s = _SLACK_S + _TIMES * (time.monotonic() - began)

    def outcome(self, mutant: str) -> Outcome:
        code, in_time = self._run(f"{self._module}.{mutant}", self.limit_s)
        return Outcome(killed=bool(code), by_time=not in_time)

    def _run(self, mutant: str, limit_s: float) -> tuple[int | None, bool]:
        child = _FORK.Process(target=_pytest, args=(mutant, self._tests))
        child.start()
        child.join(limit_s)
        in_time = not child.is_alive()
        if child.pid is not None:  # the group: a test may have started processes
            _end(child.pid)
        child.join()
        return child.exitcode, in_time


def _pytest(mutant: str, tests: list[str]) -> None:
    os.setsid()
    set_mutant_under_test(mutant)
    with _quiet():
        code = int(pytest.main([*_OPTIONS, *tests]))
    os._exit(code)  # whatever threads a broken test leaves behind


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


class _quiet:
    """Nothing of pytest's on the screen: not even what children print."""

    def __enter__(self) -> None:
        sys.stdout.flush()
        self._kept = os.dup(1), os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        for kept, standard in zip(self._kept, (1, 2), strict=True):
            os.dup2(kept, standard)
            os.close(kept)


class _InPlaceOf(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds one module, and gives it another source."""

    def __init__(self, module: str, path: Path, source: str) -> None:
        self._name, self._path = module, path
        self._code: CodeType = compile(source, f"<mutants of {module}>", "exec", dont_inherit=True)

    def find_spec(
        self, name: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin=str(self._path))

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)

"""`make mutants`: the score of each module, and every mutant that no test noticed."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from tests.mutation.mutants import Mutant, Mutants
from tests.mutation.settings import ROOT, Equivalent, Settings, read, source_of
from tests.mutation.trial import Trial


def main() -> int:
    settings = read()
    asked = _arguments(settings)
    names = asked.modules or list(settings.modules)
    if unknown := [name for name in names if name not in settings.modules]:
        print(f"not in tests/mutation/modules.toml: {', '.join(unknown)}", file=sys.stderr)
        return 2
    if len(names) == 1:
        return _one(settings, names[0], asked.sample)
    with ThreadPoolExecutor(asked.jobs) as jobs:
        codes = list(jobs.map(lambda name: _in_process(name, asked.sample), names))
    return max(codes)


def _arguments(settings: Settings) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", help="modules of modules.toml; none: all")
    parser.add_argument("--sample", type=int, default=settings.sample, help="mutants a module")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="modules at a time")
    return parser.parse_args()


def _in_process(module: str, sample: int) -> int:
    command = [sys.executable, "-m", "tests.mutation", module, "--sample", str(sample)]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(ended.stdout.decode(errors="replace"), end="", flush=True)
    return ended.returncode


def _one(settings: Settings, module: str, sample: int) -> int:
    """One module; 1 where its tests do not pass unbroken, else 0 whatever the score is."""
    began = time.monotonic()
    path = source_of(module)
    mutants = Mutants(path)
    drawn, equal = _draw(settings, module, mutants.all, sample)
    source, switches = mutants.source(drawn)
    try:
        trial = Trial(module, path, source, settings.modules[module])
    except RuntimeError as error:
        print(error)
        return 1
    outcomes = [trial.outcome(switch) for switch in switches]
    survived = [each for each, end in zip(drawn, outcomes, strict=True) if not end.killed]
    killed, by_time = len(drawn) - len(survived), sum(end.by_time for end in outcomes)
    share = 100 * killed / max(1, len(drawn))
    print(
        f"{module}: {killed}/{len(drawn)} killed ({share:.0f} %), {by_time} of them by time; "
        f"{len(mutants.all)} mutants in all, {time.monotonic() - began:.0f} s"
    )
    for mutant in sorted(survived, key=lambda each: each.line):
        print(f"  survived  {path.relative_to(ROOT)}:{mutant.line} {mutant.function}")
        print(f"    - {mutant.removed}\n    + {mutant.added}")
    for mutant, entry in equal:
        print(f"  equivalent  {path.relative_to(ROOT)}:{mutant.line} {mutant.function}")
        print(f"    - {mutant.removed}\n    + {mutant.added}\n    {entry.reason}")
    return 0


def _draw(
    settings: Settings, module: str, mutants: Iterable[Mutant], sample: int
) -> tuple[list[Mutant], list[tuple[Mutant, Equivalent]]]:
    """The sample, and the equivalent ones that came up in the draw and do not count."""
    known = {
        (entry.function, entry.line, entry.becomes): entry
        for entry in settings.equivalent
        if entry.module == module
    }
    drawn: list[Mutant] = []
    equal: list[tuple[Mutant, Equivalent]] = []
    for mutant in sorted(mutants, key=lambda each: each.rank(settings.seed)):
        if len(drawn) == sample:
            break
        entry = known.get((mutant.function, mutant.removed, mutant.added))
        if entry is None:
            drawn.append(mutant)
        else:
            equal.append((mutant, entry))
    return drawn, equal


if __name__ == "__main__":
    sys.exit(main())

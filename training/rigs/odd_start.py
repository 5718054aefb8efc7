"""Becomes a command under oddities that only the process itself can have: limits, closed streams, a
working folder that is gone. Not by a hook between fork and exec: in a process with gRPC's threads
that crashes by itself now and then, and would be taken for the command."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from collections.abc import Mapping, Sequence


def odd(
    command: Sequence[str],
    *,
    limits: Mapping[int, int | tuple[int, int]] | None = None,
    closed: Sequence[int] = (),
    gone: bool = False,
) -> list[str]:
    """``command`` under oddities. ``limits``: by number (``resource.RLIMIT_…``), one for both or
    the soft and the hard one; ``closed``: standard streams; ``gone``: the working folder is."""
    oddities = json.dumps({"limits": dict(limits or {}), "closed": list(closed), "gone": gone})
    return [sys.executable, __file__, oddities, *command]


def main(oddities: str, *command: str) -> None:
    found = json.loads(oddities)
    if found["gone"]:
        place = tempfile.mkdtemp(dir="/tmp")
        os.chdir(place)
        os.rmdir(place)
    for number, limit in found["limits"].items():
        soft, hard = limit if isinstance(limit, list) else (limit, limit)
        resource.setrlimit(int(number), (soft, hard))
    for number in found["closed"]:
        os.close(number)
    # Under a limit of file sizes Python would leave its compiled files cut, for everybody to read.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Becomes a command under oddities that only the process itself can have: ``python -m
benchmarks.fuzz.odd_start JSON COMMAND...``. Not by a hook after a fork: the fork of a process with
gRPC's threads in it crashes by itself now and then, and that would be taken for the command."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile


def main(oddities: str, *command: str) -> None:
    """``oddities``: ``gone`` (the working folder), ``limits`` by number, ``closed`` streams."""
    odd = json.loads(oddities)
    if odd["gone"]:
        place = tempfile.mkdtemp(dir="/tmp")
        os.chdir(place)
        os.rmdir(place)
    for number, value in odd["limits"].items():
        resource.setrlimit(int(number), (value, value))
    for number in odd["closed"]:
        os.close(number)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])

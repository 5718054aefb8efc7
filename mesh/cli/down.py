"""`mesh down`: stop the mesh of this box."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import click

from mesh.cli.options import chosen_state_dir, state_dir_option
from mesh.cli.up import RUNS_HERE
from mesh.extras import require

WAIT_S = 20.0  # the supervisor takes 15 s at most
POLL_S = 0.05


@click.command()
@state_dir_option
def down(state_dir: Path | None) -> None:
    """Stop the mesh that `mesh up` started, in the background or not. Streams may finish first."""
    require(*RUNS_HERE)
    import psutil

    from mesh.local import run_file

    folder = chosen_state_dir(state_dir)
    found = run_file.running(folder)
    if found is None:
        click.echo(f"no mesh is running (state folder {folder})")
        return
    try:
        supervisor = psutil.Process(found.pid)
        family = [supervisor, *supervisor.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    _signal(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + WAIT_S
    while run_file.process_start(found.pid) == found.pid_started:
        if time.monotonic() > deadline:
            click.echo(f"it did not stop within {WAIT_S:g} s: killing it", err=True)
            _signal(found.pid, signal.SIGKILL)  # its children are tied to it and go with it
            break
        time.sleep(POLL_S)
    psutil.wait_procs(family, timeout=5)
    run_file.running(folder)  # a killed one leaves its file behind
    click.echo(f"stopped the mesh at {found.endpoint} (pid {found.pid})")


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)

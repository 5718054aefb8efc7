"""`mesh down`: stop the mesh of this box."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh.cli.options import chosen_state_dir, state_dir_option
from mesh.cli.up import RUNS_HERE
from mesh.extras import require
from mesh.sizes import in_words

if TYPE_CHECKING:
    import psutil

    from mesh.local.leftovers import Leftover
    from mesh.local.run_file import RunFile

WAIT_S = 20.0  # the supervisor takes 15 s at most
MURMUR_S = 1.0  # without a word; most are down by then
POLL_S = 0.05


@click.command()
@state_dir_option
@click.option(
    "--purge", is_flag=True, help="Delete what it left in the state folder, too; says what, asks."
)
@click.option("--yes", is_flag=True, help="With --purge: do not ask.")
def down(state_dir: Path | None, purge: bool, yes: bool) -> None:
    """Stop the mesh that `mesh up` started, in the background or not. Streams may finish first.

    What a mesh knows stays in its state folder: who its nodes are, how fast they were, the
    registry's data, logs. --purge deletes that and nothing else; conversations stay.
    """
    require(*RUNS_HERE)
    from mesh.local import leftovers, run_file

    if yes and not purge:
        raise click.UsageError("--yes goes with --purge")
    folder = chosen_state_dir(state_dir)
    running = run_file.running(folder)
    if purge and not _agreed(leftovers.found(folder), folder, running, yes=yes):
        click.echo("nothing was stopped or deleted")
        return
    if running is not None:
        _stop(running)
        run_file.running(folder)  # a killed one leaves its file behind
        click.echo(f"stopped the mesh at {running.endpoint} (pid {running.pid})")
    elif not purge:
        click.echo(f"no mesh is running (state folder {folder})")
    left = leftovers.found(folder)
    if purge:
        if left:
            with run_file.held(folder):  # nobody begins on what is being deleted
                left = leftovers.found(folder)
                leftovers.require_unused(folder)
                leftovers.delete(left, folder)
        click.echo(f"deleted {_told(left)} in {folder}" if left else f"nothing is left in {folder}")
    elif running is not None and left:
        purges = f"{run_file.down_command(folder)} --purge"
        click.echo(f"{_told(left)} stay in {folder}; `{purges}` deletes them")


def _agreed(
    left: tuple[Leftover, ...], folder: Path, running: RunFile | None, *, yes: bool
) -> bool:
    """Before anything is stopped: who says no has changed nothing."""
    if yes or not (left or running):
        return True
    if not _answers():
        raise click.UsageError("--purge asks before it deletes; where nobody can answer, say --yes")
    stops = f"stop the mesh at {running.endpoint} and " if running is not None else ""
    for each in left:
        click.echo(f"  {each.what}: {in_words(each.size)}")
    return click.confirm(f"{stops}delete these in {folder}?")


def _answers() -> bool:
    return sys.stdin.isatty()


def _told(left: tuple[Leftover, ...]) -> str:
    names = ", ".join(each.what for each in left[:-1])
    return (
        f"{names}{' and ' if names else ''}{left[-1].what} ({in_words(sum(e.size for e in left))})"
    )


def _stop(running: RunFile) -> None:
    import psutil

    from mesh.local.run_file import process_start

    try:
        supervisor = psutil.Process(running.pid)
        children = supervisor.children()
        family = [supervisor, *supervisor.children(recursive=True)]
    except psutil.NoSuchProcess:
        children = family = []
    names = {child: _name(child) for child in children}
    _signal(running.pid, signal.SIGTERM)
    began = time.monotonic()
    said: list[str] = []
    while process_start(running.pid) == running.pid_started:
        waited = time.monotonic() - began
        if waited > WAIT_S:
            click.echo(f"it did not stop within {WAIT_S:g} s: killing it", err=True)
            _signal(running.pid, signal.SIGKILL)  # its children are tied to it and go with it
            break
        alive = [name for child, name in names.items() if _lives(child)]
        if len(alive) > 1 and "etcd" in alive:  # it goes last, and at once
            alive.remove("etcd")
        if waited > MURMUR_S and alive != said:
            said = alive
            click.echo(waits_for(alive, WAIT_S - waited))
        time.sleep(POLL_S)
    psutil.wait_procs(family, timeout=5)


def waits_for(names: list[str], left_s: float) -> str:
    """``waiting for robin and wren to finish their streams, at most 14 s more``."""
    if not names:
        return f"waiting for its supervisor, at most {left_s:.0f} s more"
    whom = ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
    return (
        f"waiting for {whom} to finish, at most {left_s:.0f} s more; `mesh down` once more does "
        "not wait for streams"
    )


def _name(child: psutil.Process) -> str:
    import psutil

    from mesh.local.plan import name_in

    try:
        return name_in(child.cmdline())
    except psutil.Error:
        return "a process"


def _lives(child: psutil.Process) -> bool:
    import psutil

    try:
        return child.is_running() and child.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)

"""Starting a runner's process, and how it ended in words."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path

from mesh.child import ending
from mesh.child.launch import Child, launch
from mesh.child.limits import Limits
from node.runner import messages as m

RunnerChild = Child[m.FromRunnerMessage]

_MOMENT_S = 0.2
_SHUTDOWN_S, _TERMINATE_S = 1.5, 1.0  # with the kill after them, within 3 s


async def launch_runner(
    *,
    at_work: int,
    otlp_endpoint: str | None,
    instance: str,
    stderr: Path | None,
    environment: Mapping[str, str],
    cpus: frozenset[int],
) -> RunnerChild:
    """Starts ``python -m node.runner``, which writes down in the file ``at_work`` what it is at
    (``node/runner/at_work.py``), ``environment`` beside the agent's own, on ``cpus`` (empty:
    all that the agent has); see ``node/hardware/care/surroundings.py``. Raises ``OSError``."""
    tracing = ("--otlp", otlp_endpoint, "--instance", instance) if otlp_endpoint else ()
    return await launch(
        "node.runner",
        "--at-work",
        str(at_work),
        *tracing,
        frames=m.at_agent(),
        limits=Limits(cpus=cpus),
        stderr=stderr,
        fds=(at_work,),
        # OpenMP's threads are told to sleep rather than spin while they wait for each other. A box
        # runs several models: with every core contended, two spinning threads were 15 to 30 times
        # slower than two sleeping ones. A policy that the user has set stands.
        environment={"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **environment},
    )


async def shut_down(runner: RunnerChild) -> None:
    """Asks, then signals, then kills; returns within 3 s, with the process gone."""
    await runner.shut_down(m.encode(m.Shutdown()), ask_s=_SHUTDOWN_S, terminate_s=_TERMINATE_S)


async def broke_inside(runner: RunnerChild) -> bool:
    """Whether a process whose socket is closed ended by what it did itself, as far as that is known
    within a moment: answers wait for it. SIGKILL and SIGTERM come from outside."""
    if not await ending.exits(runner.process, _MOMENT_S):
        return False
    return -(runner.process.returncode or 0) not in (0, signal.SIGKILL, signal.SIGTERM)


async def exit_reason(runner: RunnerChild, within_s: float) -> str:
    """Why a process whose socket is closed ended, in words; waits for its end up to ``within_s``
    seconds."""
    if not await ending.exits(runner.process, within_s):
        return "it closed its connection but did not end"
    code = runner.process.returncode or 0
    words = runner.last_words()
    if -code == signal.SIGKILL:
        told = " (the system does so when memory runs out)"
    elif words:
        told = f": {words}"
    else:
        told = "" if runner.log else "; what it wrote is in the node's log"
    return f"{ending.describe_exit(code)}{told}"

"""What `mesh load` and `mesh unload` have in common: whom they mean, and how it is told."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

import click

from mesh.cleaned import cleaned
from mesh.errors import ConfigError, Unreachable
from mesh.orders import LAST, NOT_FROM_HERE, LoadOrder, Phase, Step, UnloadOrder
from mesh.settings.addresses import is_loopback

if TYPE_CHECKING:
    from mesh.fleet.records import NodeRecord

_SHOWN = 12  # nodes, where one is not found
_EVERY = 10  # percent between two lines, where there is no terminal


class Say(Protocol):
    def __call__(self, step: Step) -> None: ...


def record_of(node: str, endpoint: str, command: str) -> NodeRecord:
    """The record of the node that is meant, by its name or id. Raises ``ConfigError`` for none,
    several, and one that takes no orders from here, and ``Unreachable``."""
    from mesh import connect

    async def fleet() -> list[NodeRecord]:
        async with connect(endpoint.split(",")) as client:
            return [each.record for each in (await client.fleet()).nodes]

    return chosen(node, asyncio.run(fleet()), socket.gethostname(), command)


def chosen(node: str, records: list[NodeRecord], here: str, command: str) -> NodeRecord:
    """``here``: this box's name. ``command``: to be run there, where that is another box."""
    found = [each for each in records if node in (each.name, each.id)]
    if not found:
        names = sorted({each.name for each in records})
        near = get_close_matches(node, names, n=1)
        listed = ", ".join(names[:_SHOWN]) + f" and {len(names) - _SHOWN} more" * (
            len(names) > _SHOWN
        )
        there = f"did you mean '{near[0]}'?" if near else f"there are: {listed or 'none'}"
        raise ConfigError(f"no node '{node}' in the fleet; {there}")
    of_here = [each for each in found if each.host == here]
    if not of_here:
        raise ConfigError(
            f"node '{node}' runs on {found[0].host}, and {NOT_FROM_HERE}: run `{command}` there"
        )
    if len(of_here) > 1:
        ids = ", ".join(each.id for each in of_here)
        raise ConfigError(f"several nodes of this box are called '{node}'; say which by id: {ids}")
    (record,) = of_here
    if not record.direct_endpoint:
        raise ConfigError(f"node '{node}' takes no orders: its settings say direct_bind = 'off'")
    return record


def obeyed(record: NodeRecord, order: LoadOrder | UnloadOrder) -> Step:
    """The last step; those before it are told as they come."""
    from mesh.client.orders import ordered

    host, _, port = record.direct_endpoint.rpartition(":")
    beyond = not is_loopback(host.strip("[]"))
    # A node that listens on all addresses is called by this one; by another it would not be it.
    address = f"127.0.0.1:{port}" if beyond else record.direct_endpoint

    async def follow(say: Say) -> Step:
        last: Step | None = None
        async with aclosing(ordered(address, order, node=record.id)) as steps:
            async for step in steps:
                last = step
                if step.phase not in LAST:
                    say(step)
        if last is None or last.phase not in LAST:
            raise Unreachable(f"node '{record.name}' ended without saying that it is done")
        return last

    try:
        with _telling(record.name) as say:
            return asyncio.run(follow(say))
    except Unreachable as error:
        if not beyond:
            raise
        raise Unreachable(
            f"{error.message}; it listens on {host} alone, and takes orders on loopback: bind it "
            "to that, or to 0.0.0.0"
        ) from None


def words(step: Step) -> str:
    match step.phase:
        case Phase.PULLING:
            return f"pulling {step.model}: {step.percent}%"
        case Phase.LOADING:
            return f"loading {step.model}: {step.percent}%"
        case Phase.WAITING:
            return f"{step.model} waits: {step.text}" if step.text else f"looking at {step.model}"
        case Phase.ANSWERS if step.answers:
            left = "1 answer" if step.answers == 1 else f"{step.answers} answers"
            return f"{step.model} ends {left} first"
        case _:
            return f"{step.model} is ending"


@contextmanager
def _telling(node: str) -> Iterator[Say]:
    """On standard error; one line that changes on a terminal, else a line for each thing new."""
    from mesh.cli.screen import console

    screen = console(sys.stderr)
    if not screen.is_terminal or screen.is_dumb_terminal:
        yield _Lines()
        return
    with screen.status(f"asking {cleaned(node)}") as status:
        yield lambda step: status.update(words(step))


class _Lines:
    def __init__(self) -> None:
        self._last: tuple[object, ...] = ()

    def __call__(self, step: Step) -> None:
        now = (step.phase, step.text, step.answers, step.percent // _EVERY)
        if now != self._last:
            self._last = now
            click.echo(words(step), err=True)

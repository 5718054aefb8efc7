"""The fleet's rules in the registry: the key ``config/rules``, and what orchestrators say they
use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
import msgspec

from mesh.cleaned import cleaned
from mesh.cli.rules_replaced import InUse
from mesh.clock import Clock, SystemClock
from mesh.errors import ConfigError, ProtocolError, RegistryUnavailable
from mesh.fleet.records import OrchestratorRecord, decode_orchestrator, rules_version
from mesh.registry.announcements import check_value
from mesh.registry.base import ORCHESTRATORS, RULES
from mesh.registry.etcd_client import connected, parse_endpoints, translated
from mesh.registry.etcd_pages import pages

if TYPE_CHECKING:
    import aetcd

ANSWER_S = 3.0
LOOK_S = 0.25
LEFT_OUT_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Using:
    """One orchestrator and the version of the rules that it decides by. ``count``: of them, None
    where it does not say. ``refused``: the version of newer ones, and ``why``."""

    name: str
    endpoint: str
    version: str
    count: int | None = None
    refused: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRules:
    """``version``: of the registry's rules, None where there are none. ``size``: bytes."""

    version: str | None
    size: int
    orchestrators: tuple[Using, ...]

    @property
    def behind(self) -> tuple[Using, ...]:
        """Orchestrators that use other rules than the registry's."""
        if self.version is None:
            return ()
        return tuple(each for each in self.orchestrators if each.version != self.version)


class RulesRegistry:
    """The registry, as far as rules go. Every call has a deadline and raises
    ``RegistryUnavailable``; endpoints are tried in turn."""

    def __init__(self, etcd: str, prefix: str) -> None:
        self._endpoints = parse_endpoints(etcd)
        self._root = prefix.rstrip("/") + "/"

    async def put(self, content: bytes) -> None:
        """Raises ``ConfigError`` when it is larger than etcd takes."""
        check_value(RULES, content)
        async with self._client() as client:
            await client.put(self._key(RULES), content)

    async def get(self) -> bytes | None:
        async with self._client() as client:
            found = await client.get(self._key(RULES))
            return None if found is None else bytes(found.value)

    async def delete(self) -> bool:
        """Whether there was something to delete."""
        async with self._client() as client:
            return await client.delete(self._key(RULES)) is not None

    async def fleet(self) -> FleetRules:
        async with self._client() as client:
            content = await client.get(self._key(RULES))
            records: dict[bytes, bytes] = {}
            async for page in pages(client, self._key(ORCHESTRATORS), ANSWER_S):
                records |= {each.key: each.value for each in page.kvs}
            return FleetRules(
                version=rules_version(content.value) if content is not None else None,
                size=len(content.value) if content is not None else 0,
                orchestrators=tuple(_using(r) for r in _orchestrators(records)),
            )

    def _key(self, key: str) -> bytes:
        return (self._root + key).encode()

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[aetcd.Client]:
        """A client on the first endpoint that answers."""
        failure: RegistryUnavailable | None = None
        for endpoint in self._endpoints:
            async with connected(endpoint, ANSWER_S) as client:
                try:
                    with translated(endpoint):
                        await client.get(self._key(RULES))
                except RegistryUnavailable as error:
                    failure = error
                    continue
                with translated(endpoint):
                    yield client
                return
        why = failure.message if failure is not None else "etcd: no endpoint is known"
        raise RegistryUnavailable(
            f"{why}; is the mesh up? --etcd HOST:PORT says where its registry is"
        )


async def rules_in_use(etcd: str, prefix: str) -> InUse:
    """What a push would replace."""
    registry = RulesRegistry(etcd, prefix)
    fleet = await registry.fleet()
    counts = [each.count for each in fleet.orchestrators if each.count is not None]
    return InUse(
        content=await registry.get(),
        versions=frozenset(each.version for each in fleet.orchestrators),
        most=max(counts, default=None),
    )


async def push_rules(
    content: bytes, etcd: str, prefix: str, wait_s: float, clock: Clock | None = None
) -> int:
    """Writes, then waits until every orchestrator uses it. The exit code: 1 when some do not."""
    registry = RulesRegistry(etcd, prefix)
    await registry.put(content)
    version = rules_version(content)
    click.echo(f"rules {version} are in the registry ({len(content):,} bytes)")
    if wait_s <= 0:
        return 0
    clock = clock or SystemClock()
    give_up = clock.now() + wait_s
    while True:
        fleet = await registry.fleet()
        if fleet.version != version:
            raise ConfigError(
                f"somebody else wrote rules {fleet.version} meanwhile"
                if fleet.version
                else "somebody else removed the rules meanwhile"
            )
        if not fleet.orchestrators:
            click.echo("no orchestrator is running; they will use them when they start")
            return 0
        if refused := [each for each in fleet.behind if each.refused == version]:
            for each in refused:
                click.echo(f"{each.name} at {each.endpoint}: {cleaned(each.why, 600)}", err=True)
            return 1
        if not fleet.behind:
            from mesh.cli.screen import orchestrator_called

            count = len(fleet.orchestrators)
            click.echo(
                f"in use by all {count} orchestrators"
                if count > 1
                else f"in use by {orchestrator_called(fleet.orchestrators[0].name)}"
            )
            return 0
        if clock.now() >= give_up:
            for each in fleet.behind:
                click.echo(
                    f"{each.name} at {each.endpoint} still uses {each.version or 'none'}; "
                    + (cleaned(each.why, 600) or "its log says why"),
                    err=True,
                )
            return 1
        await clock.sleep(LOOK_S)


async def pull_rules(etcd: str, prefix: str) -> bytes:
    """Raises ``ConfigError`` when the registry has none."""
    content = await RulesRegistry(etcd, prefix).get()
    if content is None:
        raise ConfigError(
            "the registry has no rules: each orchestrator uses its own file; put some there with "
            "`mesh rules push FILE`"
        )
    return content


async def drop_rules(etcd: str, prefix: str) -> bool:
    return await RulesRegistry(etcd, prefix).delete()


async def show_rules(etcd: str, prefix: str, *, as_json: bool) -> None:
    fleet = await RulesRegistry(etcd, prefix).fleet()
    if as_json:
        from mesh.cli.screen import json_page

        data = {
            "registry": {"version": fleet.version, "bytes": fleet.size} if fleet.version else None,
            "orchestrators": msgspec.to_builtins(fleet.orchestrators),
        }
        click.echo(json_page(data))
        return
    _print(fleet)


def _print(fleet: FleetRules) -> None:
    from rich.text import Text

    from mesh.cli.screen import console, in_lines, table

    screen = console()
    fleet = in_lines(fleet)
    if fleet.version is None:
        screen.print("the registry has no rules: each orchestrator uses its own file")
    else:
        screen.print(f"the registry has rules {fleet.version} ({fleet.size:,} bytes)")
    if not fleet.orchestrators:
        screen.print("no orchestrator is running")
        return
    made = table("ORCHESTRATOR", "ENDPOINT", "RULES", "")
    for each in fleet.orchestrators:
        made.add_row(
            Text(each.name),
            Text(each.endpoint),
            Text(each.version or "unknown"),
            Text(_why(each) if each in fleet.behind else "", style="yellow"),
        )
    screen.print(made)


def _why(using: Using) -> str:
    return f"not the registry's: {cleaned(using.why, 400) or 'its log says why'}"


def _using(record: OrchestratorRecord) -> Using:
    refused = record.rules.refused if record.rules is not None else None
    return Using(
        name=record.name,
        endpoint=record.endpoint,
        version=record.rules_version,
        count=record.rules.count if record.rules is not None else None,
        refused=refused.version if refused is not None else "",
        why=refused.why if refused is not None else "",
    )


def _orchestrators(records: Mapping[bytes, bytes]) -> list[OrchestratorRecord]:
    """By name. What is no record (a newer version's, somebody's mistake) is left out."""
    found: list[OrchestratorRecord] = []
    left_out = 0
    for key, value in records.items():
        try:
            found.append(decode_orchestrator(value))
        except ProtocolError as error:
            left_out += 1
            if left_out <= LEFT_OUT_NAMED:
                click.echo(f"left out, {cleaned(key)}: {error.message}", err=True)
    if left_out > LEFT_OUT_NAMED:
        click.echo(f"and {left_out - LEFT_OUT_NAMED:,} more", err=True)
    return sorted(found, key=lambda record: (record.name, record.endpoint))

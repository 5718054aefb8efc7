"""What `mesh rules push` would change of the rules in use, in words, and whether it may."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from mesh.cleaned import cleaned
from mesh.errors import ConfigError
from mesh.fleet.records import rules_version
from mesh.settings.shipped import shipped
from mesh.settings.toml import read_toml

NAMED = 5
_MOST_BYTES = 8 * 1024 * 1024
_Rules = dict[str, Any]  # by name


@dataclass(frozen=True, slots=True, kw_only=True)
class InUse:
    """``content``: the registry's rules, None where it has none and each orchestrator uses its own
    file. ``versions``: that orchestrators use; ``most``: rules that one of them has, None where
    none says."""

    content: bytes | None
    versions: frozenset[str]
    most: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """``before`` None: how many rules are in use is not known. ``names`` False: only how many."""

    before: int | None
    after: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    names: bool = True

    @property
    def removes(self) -> bool:
        """Whether rules go; where their names are not known, whether there are any at all."""
        return bool(self.removed) if self.names else self.before != 0

    def words(self) -> str:
        """One line."""
        if self.before is None:
            return f"{_rules(self.after)} the place of those in use, of unknown number"
        said = f"{_rules(self.after)} the place of {self.before:,}"
        if not self.names:
            return f"{said}, of an orchestrator's own file"
        parts = [
            f"{len(names):,} {what}" + (f" ({_listed(names)})" if what == "removed" else "")
            for what, names in (
                ("removed", self.removed),
                ("changed", self.changed),
                ("new", self.added),
            )
            if names
        ]
        return f"{said}: {', '.join(parts) or 'the same ones'}"


def replaced(use: InUse, content: bytes) -> Replaced:
    """Pure, but for the starter rules, which it knows by their version."""
    after = _read(content) or {}
    before = _read(use.content) if use.content is not None else _starter(use.versions)
    if before is None:
        return Replaced(before=use.most, after=len(after), names=False)
    return Replaced(
        before=len(before),
        after=len(after),
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(
            sorted(name for name in after.keys() & before.keys() if after[name] != before[name])
        ),
    )


def allowed(use: InUse, content: bytes, *, yes: bool) -> None:
    """Says what changes, and asks where rules go. Raises ``ConfigError`` when nobody is there to
    ask, ``click.Abort`` for a no."""
    if not use.versions and use.content is None:
        return  # no fleet yet, and nothing that is replaced
    change = replaced(use, content)
    click.echo(change.words(), err=True)
    if yes or not change.removes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "nothing was changed: this removes rules that are in use; say --yes if it is to, and "
            "`mesh rules pull` keeps a copy of what the registry has"
        )
    click.confirm("replace them?", abort=True, err=True)


def _starter(versions: frozenset[str]) -> _Rules | None:
    content = shipped("rules.toml").read_bytes()
    return _read(content) if versions == {rules_version(content)} else None


def _read(content: bytes) -> _Rules | None:
    """None for what is no rules file: it was written by hand, and no orchestrator took it."""
    try:
        rules = read_toml(content, _MOST_BYTES).get("rules", [])
    except ConfigError:
        return None
    if not isinstance(rules, list):
        return None
    return {str(rule.get("name")): rule for rule in rules if isinstance(rule, dict)}


def _rules(count: int) -> str:
    return "1 rule takes" if count == 1 else f"{count:,} rules take"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(cleaned(name, 40) for name in names[:NAMED])
    return f"{shown} and {len(names) - NAMED:,} more" if len(names) > NAMED else shown

"""Finds engines by name: entry points of the group ``squadron.engines``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from mesh.errors import ConfigError
from mesh.plugins import loaded
from node.engines.base import Engine
from node.engines.traits import EngineTraits
from node.runner.at_work import AtWork

GROUP = "squadron.engines"


@runtime_checkable
class ReportsLoading(Protocol):
    """An engine that says how far loading is: it calls ``on_progress`` with 0..1 while it loads."""

    on_progress: Callable[[float], None]


@runtime_checkable
class TellsWork(Protocol):
    """An engine that says when it works for one slot alone at what may take it for ever."""

    work: AtWork


@runtime_checkable
class SpellsTokens(Protocol):
    """An engine that can say which bytes token ids stand for, so that a resume by ids knows of a
    character or a stop string that was begun but not delivered. Raises ``InvalidRequest`` for an id
    that is not of its model."""

    def spell(self, tokens: Sequence[int]) -> bytes: ...


@runtime_checkable
class WaitsElsewhere(Protocol):
    """An engine whose tokens are made elsewhere. Its ``step`` never waits: it returns [] also while
    slots have work. ``wake_fd`` is a file descriptor that is readable once another step may bring
    something."""

    @property
    def wake_fd(self) -> int: ...


@runtime_checkable
class Guesses(Protocol):
    """An engine that guesses tokens ahead: how many it did since it was loaded, and how many of
    them were right."""

    @property
    def guesses(self) -> tuple[int, int]: ...


def known_engines() -> tuple[str, ...]:
    """Names of all engines installed here, sorted."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


@cache
def traits_of(name: str) -> EngineTraits[Any]:
    """What the engine called ``name`` says of itself.

    Raises ``ConfigError``: no engine of that name (the message lists the known ones), or one whose
    package does not say what the interface asks for.
    """
    point = next(iter(entry_points(group=GROUP, name=name)), None)
    if point is None:
        raise ConfigError(f"no engine '{name}'; known: {', '.join(known_engines()) or 'none'}")
    kind = loaded(point, "engine")
    if not (isinstance(kind, type) and issubclass(kind, EngineTraits)) or kind.name != name:
        raise ConfigError(
            f"engine '{name}' ({point.value}) is not described: that is no EngineTraits of its "
            "name; install its package again, or see docs/engines.md"
        )
    found: EngineTraits[Any] = kind()
    return found


def load_engine(name: str) -> Engine:
    """A new engine called ``name``.

    Raises ``ConfigError`` as ``traits_of`` does, and for an engine whose libraries cannot be
    imported here, such as an extra that is not installed.
    """
    traits = traits_of(name)
    try:
        return traits.make()
    except (ImportError, AttributeError, OSError) as error:  # OSError: a shared library is missing
        raise ConfigError(
            f"engine '{name}' cannot be loaded: {error}; install what it needs"
        ) from None


def check_engine(source: str, engine: str) -> None:
    """Raises ``ConfigError`` where there is none of that name for model ``source``."""
    if engine not in known_engines():
        raise ConfigError(
            f"model '{source}': no engine '{engine}'; known: {', '.join(known_engines())}"
        )

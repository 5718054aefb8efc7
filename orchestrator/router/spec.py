"""What a stage says of itself: all that cascade, settings and reload ask of it.

A stage is its own file or package with a ``StageSpec`` in it, found by an entry point of the group
``squadron.stages``, ``name = module:SPEC``. Nothing else anywhere knows it by name; the settings
``router.stages`` put it in order, and ``[router.NAME]`` is its own table.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mesh.clock import Clock
from mesh.settings.load import NoSettings, Settings
from mesh.stream import StreamEvent
from mesh.types import Request
from orchestrator.router.rule_file import RuleSet

if TYPE_CHECKING:  # to ask what stages there are, nobody needs the rules' engine
    from orchestrator.router.compiled import CompiledRules

# Sends a request to the mesh and yields the answer's events; closing it cancels the request.
AskMesh = Callable[[Request], AsyncGenerator[StreamEvent, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageParts:
    """What of its orchestrator a stage may live on. ``salt``: of all settings that decide, so that
    what was decided under others is known by it. ``leaned_on``: a stage behind this one wants it
    before itself, and knows better what this one only leans to. ``cache``: where compiled rules are
    kept, None: nowhere."""

    clock: Clock
    ask: AskMesh
    salt: str = ""
    leaned_on: bool = False
    cache: CompiledRules | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotInstalled:
    """``parts``: what is not installed here, as ``a and b``; ``remedy``: what to run, in words."""

    parts: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSpec:
    """``make(settings, parts)`` is called once a process, blocking; raises ``ConfigError``.

    * ``quick``: what it makes is a ``Stage``: it only looks at the prompt, never waits, and is also
      asked what a conversation's earlier turns were about. Else it is a ``SlowStage``.
    * ``settings``: of its table ``[router.NAME]``, a frozen dataclass with ``check``.
    * ``after``: stages that it wants before it, where they are asked at all.
    * ``answers``: it has whole answers, and is asked also when a request names its specialty.
    * ``remembers``: its answers are earlier ones (``Remembering``). It decides nothing anew, so it
      is asked also when a request names its model, and its settings change no answer.
    * ``renewed(stage, rules, where)``: the stage as it is under other rules, made in a thread;
      ``where`` names the rules' source in errors (``RuleError``). None: rules are nothing to it.
    * ``missing()``: what is not installed of what it needs. Only looks.

    A name that the table ``[router]`` has a key for cannot be a stage's."""

    name: str
    make: Callable[[Any, StageParts], Any]
    quick: bool = False
    settings: type[Settings] = NoSettings
    after: tuple[str, ...] = ()
    answers: bool = False
    remembers: bool = False
    renewed: Callable[[Any, RuleSet, str], Any] | None = None
    missing: Callable[[], NotInstalled | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Placed:
    """A stage in its place in a cascade: a ``Stage`` where ``spec.quick``, else a ``SlowStage``."""

    spec: StageSpec
    stage: Any

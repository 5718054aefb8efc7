"""What one attempt needs of a node: a plain value that travels whole, from the decision to the
slot that is held for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mesh.errors import CannotAnswer, ContextOverflow
from mesh.types import ModelId, NodeId, Priority, Specialty

Home = tuple[NodeId, ModelId]  # where a conversation is


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one attempt needs of a node.

    ``specialty``: what was decided. ``model``: only that model, whatever its specialties; None: any
    of the specialty. ``prompt_bytes``: UTF-8 size of all messages.

    ``substitutes``: who else may answer where no model has the specialty, the nearest first; none:
    nobody may. ``named``: the client named the specialty itself, so that the fallback is none of
    them. ``exclude``: nodes that are not asked (again). ``tried``: models on nodes that said they
    will not take this request, or whose word on it is not believed. ``unable``: models that said
    they cannot answer it, whatever the node (``inability`` is the first such refusal); as good as
    not in the fleet. ``larger_than``: tokens of context that proved too few (``overflow`` is the
    refusal that said so). ``resuming``: tokens were delivered, so it goes before new work and is
    never turned away for a full queue. ``patience_s``: how long to hope for a node to come when
    none is in sight. ``settled``: that hope is over, and a substitute may answer. ``prefer``: the
    model that began the answer; another of the specialty only where that one has no slot free.
    ``weights``: its (``mesh/fleet/weights.py``). ``strict``: nobody goes on but the same weights.
    ``home``: where the conversation's earlier turns are, and with them its prefix cache.
    ``affinity``: the conversation's, for ties (``mesh/fleet/standings.py``). ``embeds``: it wants
    vectors and no answer; a model makes these or answers, never both.
    """

    specialty: Specialty
    model: ModelId | None
    prompt_bytes: int
    substitutes: tuple[Specialty, ...] = ()
    named: bool = False
    priority: Priority = Priority.NORMAL
    arrived: float = 0.0
    exclude: frozenset[NodeId] = frozenset()
    tried: frozenset[Home] = frozenset()
    larger_than: int = 0
    overflow: ContextOverflow | None = None
    unable: frozenset[ModelId] = frozenset()
    inability: CannotAnswer | None = None
    resuming: bool = False
    patience_s: float = 0.0
    settled: bool = False
    prefer: ModelId | None = None
    weights: str = ""
    strict: bool = False
    home: Home | None = None
    affinity: bytes | None = None
    embeds: bool = False

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal kinds fit the same nodes, but for prompts within a factor of two of each other."""
        size = self.prompt_bytes.bit_length()
        return (
            self.specialty,
            self.substitutes,
            self.model,
            size,
            self.exclude,
            self.tried,
            self.unable,
            self.larger_than,
            self.settled,
            self.embeds,
            (self.prefer, self.weights) if self.strict else None,
        )


def chain(
    specialty: Specialty, substitutes: Mapping[str, str], fallback: Specialty | None
) -> tuple[Specialty, ...]:
    """Who may answer for ``specialty``, the nearest first: its substitute, that one's own and so
    on, and the fallback last, be it ``specialty`` itself (None: nobody). Each once."""
    found: list[Specialty] = []
    other = substitutes.get(specialty)
    while other is not None and other != specialty and other not in found:
        found.append(Specialty(other))
        other = substitutes.get(other)
    if fallback is not None and fallback not in found:
        found.append(fallback)
    return tuple(found)

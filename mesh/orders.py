"""What a person orders of a running node, and what the node says while it does so: `mesh load`,
`mesh unload`. A node takes orders from its own box only, until there are roles.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NOT_FROM_HERE = "a node takes orders only from its own box until there are roles"
LONGEST_S = 24 * 3600.0  # of an order: a pull over a slow line takes hours


class Phase(StrEnum):
    """``ANSWERS``: it ends once they have ended. ``COLD``: it is loaded again when asked for.
    ``FORGOTTEN``: the node hosts it no more."""

    PULLING = "pulling"
    LOADING = "loading"
    WAITING = "waiting"
    ANSWERS = "answers"
    RESIDENT = "resident"
    COLD = "cold"
    FORGOTTEN = "forgotten"


LAST = frozenset({Phase.RESIDENT, Phase.COLD, Phase.FORGOTTEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOrder:
    """``source``: a file of the node's box, ``hf:...``, what the engine calls its model; without
    ``specialties`` the id of a model that the node hosts. ``id``, ``engine`` "" and None: as in
    settings."""

    source: str
    specialties: tuple[str, ...] = ()
    id: str = ""
    engine: str = ""
    slots: int | None = None
    context_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnloadOrder:
    """``wait``: for its answers, instead of being refused while there are some."""

    model: str
    wait: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """``percent``: of a pull or a load. ``answers``: that run on it or wait for it. ``text``: why
    it waits, or what else there is to say. The rest is of a model that is resident: ``bytes``
    of memory on ``device``, ``context_length`` tokens a slot, ``load_s`` seconds of its load."""

    phase: Phase
    model: str
    percent: int = 0
    answers: int = 0
    text: str = ""
    device: str = ""
    slots: int = 0
    context_length: int = 0
    bytes: int = 0
    load_s: float = 0.0

"""Which nodes `mesh up` brings up: a roster of those that it could, and the choice of some. Pure.

A count beyond what the roster has goes round again: the second time round, ``robin`` is
``robin-2``. All of one source share its weights in memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mesh.errors import ConfigError
from mesh.settings.model import ModelSettings
from mesh.sizes import in_words

# Two homes of one model. What both serve goes on at the other when one is lost, in mid-sentence;
# what only one serves shows how requests are routed.
PAIR: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("robin", ("chat", "knowledge", "logic")),
    ("wren", ("code", "math", "chat", "knowledge")),
)
NODES_A_CORE = 4
LEAST_LIMIT = 8
_MOST_DIGITS = 30  # of a count that is repeated in words; a longer one is told by its length


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A node that could be: ``name``, and the one model that it serves."""

    name: str
    model: ModelSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What this box has for nodes. ``cores``: logical ones; ``free_bytes``: of its memory, and
    ``node_bytes`` what each node takes of it beside the ``shared_bytes`` of the models' weights.
    0 for ``node_bytes``: nobody knows, and nobody is refused by it."""

    cores: int
    free_bytes: int = 0
    shared_bytes: int = 0
    node_bytes: int = 0

    @property
    def by_cores(self) -> int:
        """Beyond so many, their models only wait for each other's threads."""
        return max(LEAST_LIMIT, NODES_A_CORE * self.cores)

    @property
    def by_memory(self) -> int | None:
        if not self.node_bytes:
            return None
        return max(0, self.free_bytes - self.shared_bytes) // self.node_bytes

    @property
    def most(self) -> int:
        return self.by_cores if self.by_memory is None else min(self.by_cores, self.by_memory)


def pair(model: ModelSettings) -> tuple[Entry, ...]:
    """The two nodes of ``model``, whose specialties are theirs."""
    return tuple(
        Entry(name=name, model=replace(model, specialties=specialties))
        for name, specialties in PAIR
    )


def none_wanted(wanted: str | None) -> bool:
    """``--nodes 0``: a front door."""
    return wanted is not None and bool(wanted.strip()) and not wanted.strip().strip("0")


def choose(wanted: str | None, roster: tuple[Entry, ...], room: Room) -> tuple[Entry, ...]:
    """The nodes of ``--nodes``: None all, a count, or names by comma. Raises ``ConfigError``, also
    for more than there is room for."""
    names = [entry.name for entry in roster]
    text = ",".join(names) if wanted is None else wanted.strip()
    if text.isascii() and text.isdigit():
        text = text.lstrip("0") or "0"
        asked = f"{int(text):,}" if len(text) <= _MOST_DIGITS else f"a number of {len(text)} digits"
        # One too many is enough to be refused, however many there are.
        count = int(text[:9]) if len(text) <= 9 else room.most + 1
        chosen = [names[i % len(names)] for i in range(min(count, room.most + 1))]
    else:
        chosen = [part.strip() for part in text.split(",")]
        asked = f"{len(chosen):,}"
    for name in chosen:
        if name not in names:
            raise ConfigError(
                f"--nodes: there is no node '{name}' to start; a count, or a list of "
                f"{', '.join(names)}"
            )
    if len(chosen) > room.most:
        raise ConfigError(_too_many(asked, room))
    seen: dict[str, int] = {}
    made: list[Entry] = []
    for name in chosen:
        seen[name] = seen.get(name, 0) + 1
        entry = roster[names.index(name)]
        made.append(entry if seen[name] == 1 else replace(entry, name=f"{name}-{seen[name]}"))
    return tuple(made)


def _too_many(asked: str, room: Room) -> str:
    cores = f"its {room.cores} core{'s carry' if room.cores != 1 else ' carries'} {room.by_cores}"
    memory = ""
    if room.by_memory is not None:
        weights = f" beside {in_words(room.shared_bytes)} of weights" if room.shared_bytes else ""
        memory = (
            f", its {in_words(room.free_bytes)} of free memory {room.by_memory} "
            f"(of {in_words(room.node_bytes)} each{weights})"
        )
    most = f"say --nodes {room.most} at most"
    if not room.most:
        most = "free some, name a smaller model with --model, or start without any (--nodes 0)"
    return f"--nodes asks for {asked}, too many for this box: {cores}{memory}; {most}"

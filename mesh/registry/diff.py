"""What changed between two snapshots: what a watcher needs after a gap in its stream. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping

from mesh.registry.base import Change, Delete, Put


def diff(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> tuple[Change, ...]:
    """The changes that turn ``before`` into ``after``: deletions first, then puts, each in key
    order, so that the result does not depend on the order in which a server lists its keys."""
    gone = [Delete(key) for key in sorted(before.keys() - after.keys())]
    new = [Put(key, value) for key, value in sorted(after.items()) if before.get(key) != value]
    return (*gone, *new)


def apply(state: MutableMapping[str, bytes], changes: Iterable[Change]) -> tuple[Change, ...]:
    """Brings ``state`` up to date in place and returns the changes that made a difference, in
    order: the same bytes put again, or a deletion of what was not there, is no news."""
    made: list[Change] = []
    for change in changes:
        match change:
            case Put(key, value) if state.get(key) != value:
                state[key] = value
                made.append(change)
            case Delete(key) if key in state:
                del state[key]
                made.append(change)
            case _:
                pass
    return tuple(made)

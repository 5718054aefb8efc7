"""The models that ship with Squadron, and who can load them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mesh.errors import ConfigError

ORDER = ("math", "code", "chat")
NODES_A_CORE = 4
LEAST_LIMIT = 8


def shipped() -> dict[str, Path]:
    """GGUF file by specialist's name, in the order in which `mesh up` starts them."""
    # Only the parent is looked up: where the package is not installed, there are no files.
    spec = importlib.util.find_spec("node")
    places = spec.submodule_search_locations if spec else None
    found = {
        file.stem: file for place in places or () for file in Path(place).glob("specialists/*.gguf")
    }
    first = [name for name in ORDER if name in found]
    return {name: found[name] for name in [*first, *sorted(set(found) - set(ORDER))]}


def reads_files(engine: str) -> bool:
    """Whether it loads files, such as these. Raises ``ConfigError`` for an engine that is not
    installed."""
    from node.engines.registry import traits_of
    from node.engines.traits import Source

    return Source.FILE in traits_of(engine).sources


def most_nodes(cores: int) -> int:
    """As many as a box with so many logical ``cores`` carries: beyond, their models only wait for
    each other's threads, and each takes memory of its own."""
    return max(LEAST_LIMIT, NODES_A_CORE * cores)


def choose(
    wanted: str | None, available: tuple[str, ...], cores: int = 1
) -> tuple[tuple[str, str], ...]:
    """(node name, specialist) pairs for ``--nodes``: None all, a count, or a comma list.

    A count beyond what there is goes round again; the second time round is ``math-2``. ``cores``:
    logical ones of this box. Raises ``ConfigError``, also for more than ``most_nodes``.
    """
    if not available:
        raise ConfigError(
            "the specialists' *.gguf files are not installed (node/specialists); restore them from "
            "the repository, or start with `--nodes 0` and add your own with `mesh node`"
        )
    text = ",".join(available) if wanted is None else wanted.strip()
    if text.isascii() and text.isdigit():
        count = int(text[:9])
        names = [available[i % len(available)] for i in range(min(count, most_nodes(cores) + 1))]
    else:
        names = [part.strip() for part in text.split(",")]
        count = len(names)
    if count > (most := most_nodes(cores)):
        raise ConfigError(
            f"--nodes asks for {count:,} nodes, and a box with {cores} "
            f"core{'' if cores == 1 else 's'} carries {most}: their models would only wait for "
            f"each other; say at most {most}"
        )
    seen: dict[str, int] = {}
    pairs: list[tuple[str, str]] = []
    for name in names:
        if name not in available:
            raise ConfigError(
                f"--nodes: there is no specialist '{name}'; a count, or a list of "
                f"{', '.join(available)}"
            )
        seen[name] = seen.get(name, 0) + 1
        pairs.append((name if seen[name] == 1 else f"{name}-{seen[name]}", name))
    return tuple(pairs)

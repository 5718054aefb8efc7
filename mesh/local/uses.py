"""Which processes of this box use a model's files: nodes that are to serve it, loaded or not, and
whatever has it in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import psutil

from mesh.errors import MeshError
from mesh.fleet.records import NodeRecord
from node.models.folder import ggufs
from node.models.hub import cached
from node.models.hub.place import Hub
from node.models.hub.source import is_hub, read


def users(paths: Iterable[Path]) -> list[str]:
    """Each in words: ``node 'box1' (pid 12)``. Other users' processes do not show theirs."""
    wanted = {path.resolve() for path in paths}
    found: dict[str, None] = {}
    for process in psutil.process_iter():
        try:
            settings = _node_settings(process)
            if settings is not None:
                if wanted & set(_sources(settings, process.environ())):
                    found[_node(settings, process)] = None
            elif wanted & _open(process):
                found[_owner(process)] = None
        except (psutil.Error, OSError):
            continue
    return list(found)


def hosts(paths: Iterable[Path], records: Iterable[NodeRecord], here: str) -> list[str]:
    """Nodes of this box (``here``) that say they host it, also where it was brought to them while
    they ran and is not loaded now. Each in words, as above."""
    wanted = {path.resolve() for path in paths}
    return [
        f"node '{record.name}' (pid {record.pid})"
        for record in records
        if record.host == here
        and any(model.file and Path(model.file).resolve() in wanted for model in record.models)
    ]


def _node_settings(process: psutil.Process) -> dict[str, Any] | None:
    """Of ``python -m node JSON``, which says all that a node was told."""
    match process.cmdline():
        case [*_, "-m", "node", text]:
            try:
                settings = msgspec.json.decode(text)
            except msgspec.DecodeError:
                return None
            return settings if isinstance(settings, dict) else None
    return None


def _sources(settings: dict[str, Any], environment: Mapping[str, str]) -> Iterable[Path]:
    """Where its models' files are, by what it was told and its environment."""
    hub = Hub("", _cache(environment))
    models = settings.get("models")
    match settings.get("models_folder"):
        case {"path": str(folder)}:
            with suppress(OSError, RuntimeError, ValueError):
                yield from (path.resolve() for path in ggufs(Path(folder).expanduser()))
    for model in models if isinstance(models, list) else ():
        source = model.get("source") if isinstance(model, dict) else None
        if not isinstance(source, str):
            continue
        try:
            path = cached.find(hub, read(source)) if is_hub(source) else Path(source).expanduser()
            if path is not None:
                yield path.resolve()
        except (MeshError, OSError, RuntimeError, ValueError):
            continue


def _cache(environment: Mapping[str, str]) -> Path:
    """As ``huggingface_hub.constants`` finds it, in that process."""
    if said := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return Path(said).expanduser()
    above = Path(environment.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(environment.get("HF_HOME") or above, "hub").expanduser()


def _open(process: psutil.Process) -> set[Path]:
    """Files that it has mapped, weights above all, or open."""
    mapped = {Path(str(each.path)) for each in process.memory_maps(grouped=True)}
    return mapped | {Path(each.path) for each in process.open_files()}


def _owner(process: psutil.Process) -> str:
    """The node whose runner it is, else itself."""
    for parent in process.parents():
        settings = _node_settings(parent)
        if settings is not None:
            return _node(settings, parent)
    return f"{process.name()} (pid {process.pid})"


def _node(settings: dict[str, Any], process: psutil.Process) -> str:
    return f"node '{settings.get('name') or process.pid}' (pid {process.pid})"

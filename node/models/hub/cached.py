"""What of the hub lies in its cache here: found without a network, and removed again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mesh.errors import ModelFileError
from node.models.hub.choice import HubFile, Offer, choose, offers
from node.models.hub.place import MAIN, PARTIAL, Hub
from node.models.hub.source import HubSource

MOST_FILES = 10_000  # of a snapshot that are looked at
MOST_REPOSITORIES = 10_000

_PREFIX = "models--"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """A whole model of the cache. ``paths``: its files in the newest commit that has them."""

    repo: str
    commit: str
    offer: Offer
    paths: tuple[Path, ...]

    @property
    def source(self) -> HubSource:
        return HubSource(repo=self.repo, file=self.offer.name)

    @property
    def blobs(self) -> tuple[Path, ...]:
        return tuple(path.resolve() for path in self.paths)


def find(hub: Hub, source: HubSource) -> Path | None:
    """The model that is meant, of what is here; of a model in parts the first."""
    for commit in _commits(hub, source.repo):
        snapshot = hub.folder(source.repo) / "snapshots" / commit
        try:
            offer = choose(source, _files(snapshot))
        except ModelFileError:
            continue
        return snapshot / offer.name
    return None


def every(hub: Hub) -> Iterator[Cached]:
    """Each model once, also where several commits have it. A cache that is not there has none."""
    for repo in _repositories(hub):
        seen: set[tuple[Path, ...]] = set()
        for commit in _commits(hub, repo):
            snapshot = hub.folder(repo) / "snapshots" / commit
            for offer in offers(_files(snapshot)):
                paths = tuple(snapshot / file.name for file in offer.files)
                found = Cached(repo=repo, commit=commit, offer=offer, paths=paths)
                if found.blobs not in seen:
                    seen.add(found.blobs)
                    yield found


def partials(hub: Hub) -> list[tuple[Path, int]]:
    """Files that a pull has begun and not ended, with their bytes."""
    found = []
    for repo in _repositories(hub):
        for path in _entries(hub.folder(repo) / "blobs"):
            if path.name.endswith(PARTIAL):
                found.append((path, _bytes(path)))
    return found


def remove(hub: Hub, model: Cached) -> int:
    """Removes its files and every name that leads to them; the bytes that are free now. What else
    its repository has here stays. Raises ``OSError``."""
    blobs = set(model.blobs)
    freed = sum(_bytes(blob) for blob in blobs)
    snapshots = hub.folder(model.repo) / "snapshots"
    for commit in _commits(hub, model.repo):
        for file in _files(snapshots / commit):
            path = snapshots / commit / file.name
            if path.resolve() in blobs:
                path.unlink()
        _without_empty(snapshots / commit)
    for blob in blobs:
        blob.unlink(missing_ok=True)
    if not _entries(snapshots):
        _forget(hub, model.repo)
    return freed


def remove_partial(hub: Hub, path: Path) -> int:
    """The bytes that are free now; 0 for one that another process is filling."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    repo = path.parents[1].name.removeprefix(_PREFIX).replace("--", "/", 1)
    lock = hub.lock(repo, path.name.partition(".")[0])
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with WeakFileLock(lock, timeout=0.1):
            size = _bytes(path)
            path.unlink(missing_ok=True)
            return size
    except TimeoutError:
        return 0


def _forget(hub: Hub, repo: str) -> None:
    """Of a repository that has nothing here any more, its refs; half files stay."""
    folder = hub.folder(repo)
    for path in _entries(folder / "refs"):
        path.unlink()
    for name in ("refs", "snapshots", "blobs"):
        if (folder / name).is_dir() and not _entries(folder / name):
            (folder / name).rmdir()
    if not _entries(folder):
        folder.rmdir()


def _without_empty(folder: Path) -> None:
    for here, _, _ in os.walk(folder, topdown=False):
        if not _entries(Path(here)):
            Path(here).rmdir()


def _repositories(hub: Hub) -> Iterator[str]:
    for path in islice(_entries(hub.cache), MOST_REPOSITORIES):
        if path.name.startswith(_PREFIX) and path.is_dir():
            owner, mark, name = path.name.removeprefix(_PREFIX).partition("--")
            if mark and name:
                yield f"{owner}/{name}"


def _commits(hub: Hub, repo: str) -> list[str]:
    """Those with files here: that of the branch first, then the latest."""
    folder = hub.folder(repo)
    try:
        main = (folder / "refs" / MAIN).read_text().strip()
    except (OSError, UnicodeDecodeError):
        main = ""
    there = [path for path in _entries(folder / "snapshots") if path.is_dir()]
    there.sort(key=lambda path: (path.name != main, -_changed(path)))
    return [path.name for path in there]


def _files(snapshot: Path) -> list[HubFile]:
    """What is whole: a link whose blob is gone is no file."""
    found = []
    for here, _, names in os.walk(snapshot):
        for name in names:
            path = Path(here, name)
            if path.is_file():
                found.append(HubFile(name=str(path.relative_to(snapshot)), size=_bytes(path)))
            if len(found) >= MOST_FILES:
                return found
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0

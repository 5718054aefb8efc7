"""A model of the hub brought here: asked for, picked, held against the disk, loaded, checked."""

from __future__ import annotations

import filecmp
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import ModelFileError
from node.models.fit.plan import mebibytes
from node.models.hub.choice import HubFile, choose, offers
from node.models.hub.events import Begins, Picked, Tell, Waits, Whole
from node.models.hub.place import MAIN, PARTIAL, Hub, in_words
from node.models.hub.repository import ASK_S, Repository, ask
from node.models.hub.source import HubSource
from node.models.hub.transfer import SHA256, Remote, fetch

SPARE_BYTES = 64 * 1024**2  # that a disk keeps beside what is pulled

# Becomes the name of a file, beside that of a half one.
_ETAG = re.compile(r"(?!\.)[A-Za-z0-9._+=-]{1,128}(?<!\.incomplete)")


@dataclass(frozen=True, slots=True)
class Pulled:
    """``path``: of the model, or of its first part. ``new_bytes``: that were loaded for it."""

    path: Path
    new_bytes: int


def pull(
    hub: Hub, source: HubSource, tell: Tell, *, sleep: Callable[[float], None] = time.sleep
) -> Pulled:
    """The newest of what ``source`` means, whole and checked, in the hub's cache. Blocking,
    possibly for hours. Raises ``ModelFileError``; what was loaded by then is gone on with next
    time."""
    repository = ask(hub, source.repo)
    offer = choose(source, repository.files)
    try:
        remotes = [remote_of(hub, repository, file) for file in offer.files]
        missing = [each for each in remotes if not _here(hub, each)]
        lacking = sum(each.size - _had(hub, each) for each in missing)
        tell(Picked(source, repository, offer, offers(repository.files), lacking))
        _check_disk(hub, lacking)
        for number, remote in enumerate(missing, 1):
            with _alone(hub, remote, tell):
                _load(hub, remote, number, len(missing), tell, sleep)
        paths = [_linked(hub, remote) for remote in remotes]
        # A cache that others share may be read-only: what is here in it is of use all the same.
        with nullcontext() if missing else suppress(OSError):
            ref = hub.folder(source.repo) / "refs" / MAIN
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(repository.commit)
    except OSError as error:
        raise ModelFileError(
            f"cannot use the hub's cache {hub.cache}: {error.strerror or error}; another place is "
            "said with HF_HOME"
        ) from None
    return Pulled(paths[0], lacking)


def remote_of(hub: Hub, repository: Repository, file: HubFile) -> Remote:
    """What the hub says of a file where it gives it out: there it refuses whom it must, before
    anything is loaded."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repository.name, file.name, revision=repository.commit, endpoint=hub.endpoint)
    with in_words(hub, repository.name, file.name):
        told = get_hf_file_metadata(
            url, timeout=ASK_S, library_name="squadron", endpoint=hub.endpoint
        )
    etag, size = told.etag or "", told.size or file.size
    sha256 = file.sha256 or (etag if SHA256.fullmatch(etag) else "")
    if not _ETAG.fullmatch(etag) or size <= 0:
        raise ModelFileError(
            f"the hub ({hub.endpoint}) does not say how large {file.name} of {repository.name} is, "
            "or gives it no ETag; try again later"
        )
    if (file.size or size) != size or (SHA256.fullmatch(etag) and sha256 != etag):
        raise ModelFileError(
            f"the hub ({hub.endpoint}) says two things of {file.name} of {repository.name}: "
            f"{file.size:,} and {size:,} bytes, hashes {sha256[:12]}… and {etag[:12]}…; try again "
            "later"
        )
    return Remote(
        repo=repository.name,
        commit=repository.commit,
        name=file.name,
        size=size,
        etag=etag,
        sha256=sha256,
    )


def _check_disk(hub: Hub, lacking: int) -> None:
    """Raises ``ModelFileError`` where what is to come has no room."""
    if not lacking:
        return
    hub.cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(hub.cache).free
    if lacking + SPARE_BYTES > free:
        raise ModelFileError(
            f"{mebibytes(lacking)} are to be loaded and the disk of {hub.cache} has "
            f"{mebibytes(free)} free; free some (`mesh models rm`), take a smaller quantisation, "
            "or say another place with HF_HOME"
        )


@contextmanager
def _alone(hub: Hub, remote: Remote, tell: Tell) -> Iterator[None]:
    """With the lock that everybody who loads this file takes."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    path = hub.lock(remote.repo, remote.etag)
    path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(WeakFileLock(path, timeout=0.1))
        except TimeoutError:
            tell(Waits(remote.name))
            held.enter_context(WeakFileLock(path))
        yield


def _load(
    hub: Hub,
    remote: Remote,
    number: int,
    count: int,
    tell: Tell,
    sleep: Callable[[float], None],
) -> None:
    blob = hub.blob(remote.repo, remote.etag)
    if _whole(blob, remote):  # another process was quicker
        return
    blob.parent.mkdir(parents=True, exist_ok=True)
    tell(Begins(remote.name, number, count, remote.size, _had(hub, remote)))
    partial = _partial(blob)
    checked = fetch(hub, remote, partial, tell, sleep=sleep)
    if not (named := _named(hub, remote)).is_symlink():
        named.unlink(missing_ok=True)  # one that was cut, on a disk without links
    partial.replace(blob)
    tell(Whole(remote.name, checked))


def _linked(hub: Hub, remote: Remote) -> Path:
    """Its name among the files of its commit, which leads to its blob: the library's own way."""
    from huggingface_hub import hf_hub_download

    with in_words(hub, remote.repo, remote.name):
        path = Path(
            hf_hub_download(
                remote.repo,
                remote.name,
                revision=remote.commit,
                cache_dir=hub.cache,
                endpoint=hub.endpoint,
                library_name="squadron",
            )
        )
    blob = hub.blob(remote.repo, remote.etag)
    # That library asks the hub once more, and loads what it is told then, unchecked.
    if blob.exists() and not (path.samefile(blob) or filecmp.cmp(path, blob, shallow=False)):
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise ModelFileError(
            f"the hub ({hub.endpoint}) gave {remote.name} of {remote.repo} another ETag while it "
            "was pulled; what came then was deleted: say the same again"
        )
    if not path.is_symlink():  # a disk without links, where it was copied
        blob.unlink(missing_ok=True)
    return path


def _here(hub: Hub, remote: Remote) -> bool:
    """Its blob; or, where the cache's disk knows no links, the file in place of one."""
    places = (hub.blob(remote.repo, remote.etag), _named(hub, remote))
    return any(_whole(path, remote) for path in places)


def _whole(path: Path, remote: Remote) -> bool:
    """By its size: a file that was cut since is loaded anew."""
    return path.is_file() and path.stat().st_size == remote.size


def _named(hub: Hub, remote: Remote) -> Path:
    return hub.folder(remote.repo) / "snapshots" / remote.commit / remote.name


def _partial(blob: Path) -> Path:
    return blob.with_name(blob.name + PARTIAL)


def _had(hub: Hub, remote: Remote) -> int:
    try:
        had = _partial(hub.blob(remote.repo, remote.etag)).stat().st_size
    except OSError:
        return 0
    return had if had <= remote.size else 0

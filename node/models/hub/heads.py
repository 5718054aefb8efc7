"""What the files of a hub's model say of themselves, before any of its weights are loaded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mesh.errors import ModelFileError
from node.models.gguf_header import read_header
from node.models.hub.choice import Offer, choose
from node.models.hub.place import Hub, in_words
from node.models.hub.pull import remote_of
from node.models.hub.repository import ask
from node.models.hub.source import HubSource
from node.models.hub.transfer import Remote, opened

FIRST_LOOK = 1024 * 1024
MOST_BYTES = 128 * 1024 * 1024  # the largest vocabularies in use need about 20 MiB


@contextmanager
def heads(hub: Hub, source: HubSource) -> Iterator[tuple[Path, Offer]]:
    """The first file of the model that is meant, and all its parts beside it: each as long as in
    the hub, with its header in it and holes for its weights. They go when the block ends. Blocking,
    seconds. Raises ``ModelFileError``."""
    repository = ask(hub, source.repo)
    offer = choose(source, repository.files)
    try:
        with tempfile.TemporaryDirectory(prefix="mesh-heads-") as folder:
            paths = []
            for file in offer.files:
                path = Path(folder, file.name.rpartition("/")[2])
                words = in_words(hub, source.repo, file.name)
                with words, _named(f"{folder}/", f"hf:{source.repo}/"):
                    _write_head(hub, remote_of(hub, repository, file), path)
                paths.append(path)
            with _named(f"{folder}/", f"hf:{source.repo}/"):
                yield paths[0], offer
    except OSError as error:
        raise ModelFileError(f"cannot write to {tempfile.gettempdir()}: {error.strerror}") from None


@contextmanager
def _named(folder: str, source: str) -> Iterator[None]:
    """A path that is soon gone stands in no message."""
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(error.message.replace(folder, source)) from None


def _write_head(hub: Hub, remote: Remote, path: Path) -> None:
    """Only as much as its header needs, in ever longer looks."""
    enough = min(FIRST_LOOK, remote.size)
    with opened(hub, remote, 0) as response, path.open("wb") as file:
        at = 0
        for chunk in response.iter_raw():
            file.write(chunk[: remote.size - at])
            at = min(at + len(chunk), remote.size)
            if at < enough:
                continue
            file.truncate(remote.size)
            file.flush()
            try:
                read_header(path)
            except ModelFileError:
                if at >= min(MOST_BYTES, remote.size):
                    raise
                enough = min(2 * enough, remote.size)
            else:
                return
    raise ModelFileError(f"the hub gave {at:,} of {remote.size:,} bytes of {remote.name}")

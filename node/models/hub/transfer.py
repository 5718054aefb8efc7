"""One file of the hub into a partial file, from where that one ends, and held against its hash."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mesh.backoff import exponential
from mesh.errors import ModelFileError
from node.models.fit.plan import mebibytes
from node.models.hub.events import Cut, Got, Tell
from node.models.hub.place import Hub, http, in_words

TRIES = 6  # in a row without a byte, before it is given up
LONGEST_PAUSE_S = 8.0
READ_S = 30.0  # of silence, after which a connection is dialled anew
READ_BYTES = 1024 * 1024  # at a time, of what is here already

_PASSING = (408, 429, 500, 502, 503, 504)
SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT = re.compile(r"[0-9a-f]{40}")
_RANGE = re.compile(r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A file at one ``commit``. ``etag``: its name in the cache. ``sha256``: "" where the hub does
    not say."""

    repo: str
    commit: str
    name: str
    size: int
    etag: str
    sha256: str = ""


def fetch(
    hub: Hub,
    remote: Remote,
    partial: Path,
    tell: Tell,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Fills ``partial`` up, and returns what it was held against, "" for only its size. Blocking.

    A lost connection is dialled again, from where it was lost. Raises ``ModelFileError``: what came
    is kept where it can be gone on with, and is not where it is wrong.
    """
    try:
        with partial.open("r+b" if partial.exists() else "w+b") as file:
            digest = _Digest(remote)
            with in_words(hub, remote.repo, remote.name):
                _go_on(hub, remote, file, digest, tell, sleep)
            file.flush()
            os.fsync(file.fileno())
    except _Wrong as error:
        partial.unlink(missing_ok=True)
        raise ModelFileError(error.args[0]) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ModelFileError(
                f"the disk of {hub.cache} is full: {mebibytes(_size(partial))} of "
                f"{mebibytes(remote.size)} of {remote.name} are kept; free some space and say the "
                "same again, and it goes on from there"
            ) from None
        raise ModelFileError(
            f"cannot write {partial}: {error.strerror or error}; another place is said with HF_HOME"
        ) from None
    if not digest.matches():
        partial.unlink(missing_ok=True)
        raise ModelFileError(
            f"{remote.name} of {remote.repo} came damaged ({digest.name} {digest.value()[:12]}…, "
            f"not {digest.wanted[:12]}…) and was deleted; pull it again, and if that happens twice "
            "the file at the hub, or what stands between, is damaged"
        )
    return digest.name


class _Wrong(Exception):
    """What came cannot be gone on with."""


class _Digest:
    """The hash that the hub gives a file: SHA-256, or of small files git's. ``name`` "": none."""

    def __init__(self, remote: Remote) -> None:
        self.name, self.wanted = "", ""
        self._begin = b""
        if remote.sha256:
            self.name, self.wanted = "SHA-256", remote.sha256
        elif _GIT.fullmatch(remote.etag):
            self.name, self.wanted = "git's SHA-1", remote.etag
            self._begin = f"blob {remote.size}\0".encode()
        self.restart()

    def restart(self) -> None:
        git = bool(self._begin)
        self._sum = hashlib.sha1(usedforsecurity=False) if git else hashlib.sha256()
        self._sum.update(self._begin)

    def add(self, data: bytes) -> None:
        self._sum.update(data)

    def value(self) -> str:
        return self._sum.hexdigest()

    def matches(self) -> bool:
        return not self.name or self.value() == self.wanted


def _go_on(
    hub: Hub,
    remote: Remote,
    file: BinaryIO,
    digest: _Digest,
    tell: Tell,
    sleep: Callable[[float], None],
) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    at = _read_in(file, remote, digest)
    tell(Got(at))
    failures = 0
    while at < remote.size:
        before, why = at, ""
        try:
            for reached in _stream(hub, remote, file, at, digest):
                tell(Got(reached))
        except http().TransportError as error:
            why = str(error).strip().partition("\n")[0] or type(error).__name__
        except HfHubHTTPError as error:
            if error.response.status_code not in _PASSING:
                raise
            why = f"the hub answered {error.response.status_code}"
        at = file.tell()
        if at >= remote.size:
            return
        failures = 1 if at > before else failures + 1
        if failures >= TRIES:
            raise ModelFileError(
                f"{remote.name} of {remote.repo} was cut at {mebibytes(at)} of "
                f"{mebibytes(remote.size)} ({why or 'the hub sent no more'}); check the network "
                "and say the same again: it goes on from there"
            )
        pause_s = exponential(failures, cap_s=LONGEST_PAUSE_S)
        tell(Cut(why or "the hub sent no more", pause_s))
        sleep(pause_s)


def _read_in(file: BinaryIO, remote: Remote, digest: _Digest) -> int:
    """What is here already, into ``digest``; its length."""
    if _size(Path(file.name)) > remote.size:
        file.truncate(0)
    while data := file.read(READ_BYTES):
        digest.add(data)
    return file.tell()


@contextmanager
def opened(hub: Hub, remote: Remote, at: int) -> Iterator[Any]:
    """The hub's answer with the file from ``at`` on. Raises what the hub's client does."""
    from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(remote.repo, remote.name, revision=remote.commit, endpoint=hub.endpoint)
    # A range even of the whole: the hub gives its largest files in ranges only.
    headers = {
        **build_hf_headers(library_name="squadron"),
        "Range": f"bytes={at}-",
        "Accept-Encoding": "identity",
    }
    with get_session().stream("GET", url, headers=headers, timeout=READ_S) as response:
        hf_raise_for_status(response)
        yield response


def _stream(hub: Hub, remote: Remote, file: BinaryIO, at: int, digest: _Digest) -> Iterator[int]:
    """Asks from ``at`` on; yields how far the file is, chunk by chunk."""
    with opened(hub, remote, at) as response:
        at = _from(response, remote, file, at, digest)
        for chunk in response.iter_raw():  # as it comes: nothing waits in a buffer to be lost
            if at + len(chunk) > remote.size:
                raise _Wrong(_sizes(remote, "more"))
            file.write(chunk)
            digest.add(chunk)
            at += len(chunk)
            yield at


def _from(response: Any, remote: Remote, file: BinaryIO, at: int, digest: _Digest) -> int:
    """Where the answer begins; one that does not go on from ``at`` begins anew. Raises ``_Wrong``
    for one that is of another file, by its size."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _Wrong(f"{remote.name} of {remote.repo} comes compressed, which was not asked for")
    if response.status_code == 206:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != at:
            raise _Wrong(f"the hub sent another part of {remote.name} than was asked for")
        total = found[2]
    else:
        if at:
            file.seek(0)
            file.truncate()
            digest.restart()
            at = 0
        total = response.headers.get("Content-Length", "*")
    if total.isdecimal() and int(total) != remote.size:
        raise _Wrong(_sizes(remote, mebibytes(int(total))))
    return at


def _sizes(remote: Remote, sent: str) -> str:
    return (
        f"the hub says that {remote.name} of {remote.repo} has {mebibytes(remote.size)} and sends "
        f"{sent}; what came was deleted: try again later"
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

"""The hub's HTTP interface on loopback, as far as pulling a model goes; and what may go wrong.

Two servers, as there: the hub, which tells of repositories and redirects to files, and the store
that it redirects to, of another origin. What was asked is kept.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from node.models.hub.place import Hub

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/tiny-GGUF"


@dataclass
class Faults:
    """``cuts``: after so many bytes of the next answers, their connections are lost. ``refusals``:
    statuses that come first. ``whole``: ranges are not heeded. ``sends``: other bytes than the
    hash says; ``says_size``: another size. ``chunked``: no length is told. ``shift``: a range
    begins so much later than asked."""

    cuts: list[int] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    whole: bool = False
    sends: bytes | None = None
    says_size: int | None = None
    chunked: bool = False
    shift: int = 0
    hold: threading.Event | None = None


@dataclass
class HubRig:
    """``files``: of ``REPO``. ``small``: names of those that are kept in git itself. ``gated``:
    until that token is sent."""

    files: dict[str, bytes]
    small: set[str] = field(default_factory=set)
    gated: str = ""
    licence: str = "apache-2.0"
    commit: str = COMMIT
    faults: Faults = field(default_factory=Faults)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    endpoint: str = ""
    store: str = ""

    def hub(self, cache: Path) -> Hub:
        return Hub(self.endpoint, cache)

    def ranges(self) -> list[str]:
        """Of what was asked of the store, in order."""
        return [
            headers.get("range", "")
            for method, path, headers in self.asked
            if method == "GET" and path.startswith("/blob/")
        ]

    def sha256(self, name: str) -> str:
        return hashlib.sha256(self.files[name]).hexdigest()

    def etag(self, name: str) -> str:
        if name in self.small:
            data = self.files[name]
            return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
        return self.sha256(name)

    def told(self) -> dict[str, Any]:
        siblings = []
        for name, data in self.files.items():
            size = len(data) if self.faults.says_size is None else self.faults.says_size
            entry: dict[str, Any] = {"rfilename": name, "size": size, "blobId": "ab" * 20}
            if name not in self.small:
                entry["lfs"] = {"sha256": self.sha256(name), "size": size, "pointerSize": 130}
            siblings.append(entry)
        return {
            "id": REPO,
            "sha": self.commit,
            "gated": "manual" if self.gated else False,
            "cardData": {"license": self.licence},
            "siblings": siblings,
        }


@contextmanager
def running(rig: HubRig) -> Iterator[HubRig]:
    servers = []
    for kind in (_StoreHandler, _HubHandler):
        handler = type(kind.__name__, (kind,), {"rig": rig})
        server = _Server(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
    # Two names of loopback, so that the store is another host and not only another port.
    rig.store = f"http://localhost:{servers[0].server_address[1]}"
    rig.endpoint = f"http://127.0.0.1:{servers[1].server_address[1]}"
    try:
        yield rig
    finally:
        if rig.faults.hold is not None:
            rig.faults.hold.set()
        for server in servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *arguments: object) -> None:
        pass  # a client that hung up


class _Handler(BaseHTTPRequestHandler):
    rig: HubRig
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.rig.asked.append((self.command, self.path, headers))
        self.answer(urlsplit(self.path).path, headers)

    def answer(self, path: str, headers: dict[str, str]) -> None:
        raise NotImplementedError

    def reply(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class _HubHandler(_Handler):
    def answer(self, path: str, headers: dict[str, str]) -> None:
        rig = self.rig
        if path == "/api/models":
            query = parse_qs(urlsplit(self.path).query)
            author, word = (query.get(key, [""])[0].lower() for key in ("author", "search"))
            alike = [{"id": REPO}] if (word or f"{author}/") in REPO.lower() else []
            return self.reply(200, json.dumps(alike).encode())
        if path == f"/api/models/{REPO}":
            return self.reply(200, json.dumps(rig.told()).encode())
        start = f"/{REPO}/resolve/"
        if not path.startswith(start):
            return self.reply(401, X_Error_Code="RepoNotFound", X_Error_Message="no such")
        if rig.gated and headers.get("authorization") != f"Bearer {rig.gated}":
            return self.reply(403 if "authorization" in headers else 401, X_Error_Code="GatedRepo")
        name = unquote(path.removeprefix(start).partition("/")[2])
        if name not in rig.files:
            return self.reply(404, X_Error_Code="EntryNotFound")
        size = len(rig.files[name]) if rig.faults.says_size is None else rig.faults.says_size
        return self.reply(
            302,
            Location=f"{rig.store}/blob/{name}?signature=x",
            X_Repo_Commit=rig.commit,
            X_Linked_Etag=f'"{rig.etag(name)}"',
            X_Linked_Size=str(size),
        )


class _StoreHandler(_Handler):
    def answer(self, path: str, headers: dict[str, str]) -> None:
        faults = self.rig.faults
        if faults.refusals:
            return self.reply(faults.refusals.pop(0))
        data = self.rig.files[unquote(path.removeprefix("/blob/"))]
        data = data if faults.sends is None else faults.sends
        first = 0
        asked = headers.get("range", "")
        if asked and not faults.whole:
            first = int(asked.removeprefix("bytes=").partition("-")[0]) + faults.shift
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        if faults.chunked:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        rest = data[first:]
        if faults.cuts:
            self.wfile.write(rest[: faults.cuts.pop(0)])
            self.wfile.flush()
            if faults.hold is not None:
                faults.hold.wait(30)
            self.close_connection = True
            self.connection.close()
            return None
        self.wfile.write(rest)
        return None

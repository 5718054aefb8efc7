"""A server on loopback that speaks OpenAI's interface well, or badly in the way a test asks for.

Its model says ``tok0 tok1 tok2 ...`` like engine ``simulated``, a word a chunk, and goes on where
an assistant's last turn ends. Bytes are written by hand, so that every fault can be.
"""

from __future__ import annotations

import json
import math
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

DEADLINE_S = 20.0
MESSAGE_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any

    def __getitem__(self, key: str) -> Any:
        return self.body[key]


@dataclass(slots=True)
class Connection:
    """The server's end of one connection, with what faults are made of."""

    socket: socket.socket
    upstream: Upstream
    _buffer: bytearray = field(default_factory=bytearray)

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def reply(
        self, status: int, body: bytes | str, kind: str = "application/json", **headers: str
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + data)

    def begin(self, kind: str = "text/event-stream") -> None:
        """The head of a stream; its body follows by ``chunk``, or by ``close``."""
        self.send(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunk(self, data: bytes | str) -> None:
        raw = data.encode() if isinstance(data, str) else data
        self.send(b"%x\r\n%b\r\n" % (len(raw), raw))

    def event(self, data: Any) -> None:
        self.chunk(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n")

    def delta(self, text: str | None, **more: Any) -> None:
        self.event({"choices": [{"index": 0, "delta": {"content": text}, **more}]})

    def end(self) -> None:
        self.send(b"0\r\n\r\n")

    def until_closed(self) -> None:
        """Returns when the client has closed its end, which is noted."""
        self.socket.settimeout(DEADLINE_S)
        with suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        self.upstream.closed_by_client.set()

    def request(self) -> Request | None:
        """The next one; None at the end of the connection."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        self._buffer = bytearray(rest)
        size = int(headers.get("content-length", "0"))
        while len(self._buffer) < size:
            if not self._more():
                return None
        data, self._buffer = bytes(self._buffer[:size]), self._buffer[size:]
        method, path, _ = first.split(" ", 2)
        return Request(method, path, headers, json.loads(data) if data else None)

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except OSError:
            return False
        self._buffer += data
        return bool(data)


Behaviour = Callable[[Connection, Request], object]


class Upstream:
    """``answers``: what to do with each request for a completion in turn, the last one for all that
    follow. ``words``: length of an answer. ``context``: tokens, as ``/v1/models`` says."""

    def __init__(
        self,
        *answers: Behaviour,
        models: tuple[str, ...] = ("tiny",),
        owner: str = "llamacpp",
        words: int = 1000,
        context: int = 0,
        listing: Behaviour | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.answers = list(answers) or [speak]
        self.models, self.owner, self.words, self.context = models, owner, words, context
        self.listing = listing
        self.requests: list[Request] = []
        self.closed_by_client = threading.Event()
        self.connections = 0
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._port: int = self._listener.getsockname()[1]

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._port}/v1"

    @property
    def asked(self) -> list[Request]:
        """The requests for completions."""
        return [r for r in self.requests if r.method == "POST"]

    def run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def stop(self) -> None:
        # A blocked accept wakes by shutdown; closing alone would leave it there.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in tuple(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, raw: socket.socket) -> None:
        with (
            suppress(OSError),
            self._tls.wrap_socket(raw, server_side=True) if self._tls else raw as connection,
        ):
            self._open.add(connection)
            try:
                self._converse(Connection(connection, self))
            finally:
                self._open.discard(connection)

    def _converse(self, connection: Connection) -> None:
        while (request := connection.request()) is not None:
            self.requests.append(request)
            if request.method == "GET":
                answer: Behaviour = self.listing or list_models
            else:
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer(connection, request) is HANG_UP:
                return


HANG_UP = object()


@contextmanager
def upstream(*answers: Behaviour, **changes: Any) -> Iterator[Upstream]:
    server = Upstream(*answers, **changes)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(DEADLINE_S)


def list_models(connection: Connection, request: Request) -> None:
    server = connection.upstream
    entries = [
        {"id": name, "object": "model", "owned_by": server.owner, "meta": {"n_ctx": server.context}}
        for name in server.models
    ]
    connection.reply(200, json.dumps({"object": "list", "data": entries}))


def prompt_tokens(messages: list[dict[str, Any]]) -> int:
    turns = [m["content"] for m in messages if m["role"] != "assistant"]
    words = [len(turn.split()) if isinstance(turn, str) else 99 for turn in turns]  # 99: an image
    return MESSAGE_TOKENS * len(words) + sum(words)


def usage(prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion}
    return counts | {"prompt_tokens_details": {"cached_tokens": cached}}


def speak(connection: Connection, request: Request) -> None:
    """An answer as it should be, until its end or the client's."""
    server, messages = connection.upstream, request["messages"]
    last = messages[-1]
    position = len(last["content"].split()) if last["role"] == "assistant" else 0
    prompt, made, reason = prompt_tokens(messages), 0, "stop"
    limit = request.body.get("max_tokens", request.body.get("max_completion_tokens", math.inf))
    connection.begin()
    connection.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]})
    try:
        while position < server.words:
            if (server.context and prompt + position >= server.context) or made >= limit:
                reason = "length"
                break
            connection.delta(f"tok{position} ")
            position, made = position + 1, made + 1
        connection.delta("", finish_reason=reason)
        if request.body.get("stream_options"):
            connection.event({"choices": [], "usage": usage(prompt, made, 3)})
        connection.event("[DONE]")
        connection.end()
    except ConnectionError:
        server.closed_by_client.set()
        raise


def status(
    code: int, body: bytes | str = "", kind: str = "application/json", **headers: str
) -> Behaviour:
    return lambda connection, _: connection.reply(code, body, kind, **headers)


def error(code: int, message: str, **headers: str) -> Behaviour:
    return status(code, json.dumps({"error": {"message": message, "type": "x"}}), **headers)


def silence(connection: Connection, request: Request) -> object:
    """Not a byte."""
    connection.until_closed()
    return HANG_UP


def hang_up(connection: Connection, request: Request) -> object:
    """Closes without a byte."""
    return HANG_UP


def stream(*texts: str, then: Behaviour = hang_up) -> Behaviour:
    """Some of an answer, without its end."""

    def behave(connection: Connection, request: Request) -> object:
        connection.begin()
        for text in texts:
            connection.delta(text)
        return then(connection, request)

    return behave


def raw(*parts: bytes, kind: str = "text/event-stream") -> Behaviour:
    """A body of exactly these parts, each sent by itself, then the end of the response."""

    def behave(connection: Connection, request: Request) -> None:
        connection.begin(kind)
        for part in parts:
            connection.chunk(part)
        connection.end()

    return behave


def embed(connection: Connection, request: Request) -> None:
    """Vectors that depend on nothing but their text, of lengths that are not 1, out of order."""
    rows = [
        {"object": "embedding", "index": index, "embedding": vector(text)}
        for index, text in enumerate(request["input"])
    ]
    count = sum(len(text.split()) for text in request["input"])
    body = {"object": "list", "data": rows[::-1], "usage": {"prompt_tokens": count}}
    connection.reply(200, json.dumps(body))


def vector(text: str, dimension: int = 6) -> list[float]:
    drawn = random.Random(text)
    return [drawn.uniform(-3.0, 3.0) for _ in range(dimension)]

"""The HTTP side of engine ``openai``: one answer as events, tried again until its first token.

Nothing is followed elsewhere and nothing is read from the environment (proxies, netrc): the key
goes where ``base_url`` says. Leaving ``answer``, by cancellation too, closes the connection, which
is how every such server learns that nobody listens any more.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

import httpx2
import msgspec

from mesh.backoff import exponential, spread
from mesh.cleaned import cleaned
from mesh.errors import ConfigError, EngineFailed, MeshError, Unreachable
from mesh.types import FinishReason
from node.engines.openai.discovery import MAX_LISTING_BYTES, Listed, find, read_listing
from node.engines.openai.embeddings import MAX_BODY_BYTES, Texts, read
from node.engines.openai.failures import Trouble, refused
from node.engines.openai.options import Access, OpenAiOptions
from node.engines.openai.reading import End, Event, Reading, UpstreamRequest
from node.engines.openai.request import Quirks, finished
from node.engines.openai.unpacking import unpacked

USAGE_WAIT_S = 1.0  # for the counts that follow an answer's end
LISTING_TIMEOUT_S = 15.0

_BACK_OFF_S = 0.25
_LET_GO_S = 0.5  # for the end of a response whose answer is over
_ERROR_BODY_BYTES = 64 * 1024
_FRAMES = frozenset({"content-length", "transfer-encoding"})  # say where a response ends
_HTTP_ERRORS = (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError)

T = TypeVar("T")
Put = Callable[[Event], Awaitable[None]]


class Upstream:
    """One model at one server; an asynchronous context. ``connections``: at a time; ``wall``: Unix
    seconds."""

    def __init__(
        self,
        model: str,
        options: OpenAiOptions,
        access: Access,
        *,
        connections: int,
        wall: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._model = model
        self._options = options
        self._access = access
        self._wall = wall
        self._rng = rng or random.Random()
        self._fixed = options.max_tokens_field != "auto"
        self._quirks = Quirks()
        if self._fixed:
            self._quirks.max_tokens_field = options.max_tokens_field
        self._http = httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity", "User-Agent": "squadron", **access.headers},
            verify=access.tls,
            proxy=options.proxy or None,
            trust_env=False,
            follow_redirects=False,
            # Whatever waits for an answer has a limit of its own around it.
            timeout=httpx2.Timeout(None, connect=options.connect_timeout_s),
            limits=httpx2.Limits(
                # Twice, for those that are only let go of.
                max_connections=2 * connections,
                max_keepalive_connections=connections,
            ),
        )

    async def __aenter__(self) -> Upstream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def discover(self) -> Listed:
        """What the upstream says of the model. One that lists none is taken at its word.

        Raises ``ModelFileError`` (no such model), ``ConfigError`` (key, address) and
        ``Unreachable`` when it may well answer later.
        """
        if not self._options.check_model:
            return Listed(name=self._model)
        where = self._access.base_url
        try:
            async with (
                asyncio.timeout(LISTING_TIMEOUT_S),
                self._http.stream("GET", f"{where}/models") as response,
            ):
                status, headers = response.status_code, _lower(response)
                body = await _body(response, MAX_LISTING_BYTES)
        except TimeoutError:
            raise Unreachable(
                f"the upstream {where} did not list its models within {LISTING_TIMEOUT_S:g} s"
            ) from None
        except EngineFailed as error:
            raise ConfigError(error.message) from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
            raise ConfigError(f"base_url {where} cannot be asked: {cleaned(str(error))}") from None
        except _HTTP_ERRORS as error:
            raise Unreachable(self._access.scrubbed(self._broken(error).error.message)) from None
        if status == 200:
            return find(self._model, read_listing(body), where)
        if status in (404, 405, 501):
            return Listed(name=self._model)
        trouble = refused(
            status, headers, body, model=self._model, where=str(response.url), wall=self._wall()
        )
        text = self._access.scrubbed(f"{trouble.error.message}; asked was {where}/models")
        raise ConfigError(text) if 300 <= status < 500 and not trouble.again else Unreachable(text)

    async def answer(self, ask: UpstreamRequest | Texts, put: Put) -> None:
        """Puts one answer's ``Text`` (or the texts' ``Rows``), ``Counts`` and at last ``End``.
        While ``put`` waits no timeout runs, and nothing is read: then the upstream waits too.
        Raises ``Trouble``."""
        tries, waited, begun = 0, 0.0, False

        async def begin(event: Event) -> None:
            nonlocal begun
            begun = True
            await put(event)

        while True:
            try:
                if isinstance(ask, Texts):
                    return await self._embed(ask, begin)
                return await self._try(ask, begin)
            except MeshError as error:
                trouble = Trouble(error)
            except Trouble as found:
                trouble = found
            except _HTTP_ERRORS as error:
                trouble = self._broken(error)
            trouble = trouble.told(self._access.scrubbed)
            if begun:
                raise trouble
            if self._quirks.learn(trouble.status, trouble.text, fixed=self._fixed):
                continue
            delay = self._delay(trouble, tries, waited)
            if delay is None:
                raise trouble
            tries += 1
            waited += delay
            await asyncio.sleep(delay)

    def _delay(self, trouble: Trouble, tries: int, waited: float) -> float | None:
        """Seconds until the next try, None when there is none."""
        if not trouble.again or tries >= self._options.retries:
            return None
        # Half of it by chance, so that those who were refused together do not come back together.
        # No cap: a pause that is longer than all of them may be is not taken, instead of cut.
        pause = exponential(tries + 1, base_s=_BACK_OFF_S, cap_s=math.inf)
        delay = spread(pause, self._rng)
        delay = max(delay, trouble.after_s or 0.0)
        return delay if waited + delay <= self._options.retry_within_s else None

    async def _try(self, ask: UpstreamRequest, put: Put) -> None:
        """Raises ``Trouble``, ``MeshError`` and the library's errors."""
        loop = asyncio.get_running_loop()
        first, silence = self._options.first_token_timeout_s, self._options.token_timeout_s
        deadline = loop.time() + first
        late = f"the upstream gave no token within {first:g} s"
        request = self._http.build_request(
            "POST",
            f"{self._access.base_url}/chat/completions",
            content=msgspec.json.encode(finished(ask.body, self._quirks, ask.max_tokens)),
            headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
        )
        response = await _by(deadline, self._http.send(request, stream=True), late)
        try:
            if response.status_code != 200:
                raise await self._refusal(response, deadline)
            reading = Reading(ask, self._access.base_url)
            chunks = unpacked(response.aiter_raw(), response.headers.get("content-encoding", ""))
            framed = False
            while not reading.done:
                before, was_finishing = reading.progress, reading.finishing
                try:
                    data = await _by(deadline, anext(chunks, b""), late)
                except (Trouble, *_HTTP_ERRORS):
                    if not was_finishing:
                        raise
                    break  # the answer is whole; only its counts are missing
                if not data:
                    # Otherwise the end of the response is the end of the connection, of any kind.
                    framed = bool(_FRAMES & _lower(response).keys())
                    break
                for event in reading.read(data):
                    await put(event)
                if reading.finishing and not was_finishing:
                    deadline = loop.time() + USAGE_WAIT_S
                elif reading.progress != before:
                    deadline = loop.time() + silence
                    late = f"the upstream fell silent for {silence:g} s in the midst of its answer"
            for event in reading.end(framed=framed):
                await put(event)
            if reading.done:  # a response read to its end leaves its connection for the next one
                with suppress(Trouble, *_HTTP_ERRORS):
                    await _by(loop.time() + _LET_GO_S, anext(chunks, b""), "")
        finally:
            await response.aclose()

    async def _embed(self, texts: Texts, put: Put) -> None:
        """As ``_try``, for vectors, which come all at once."""
        limit = self._options.first_token_timeout_s
        deadline, late = _now() + limit, f"the upstream gave no vectors within {limit:g} s"
        request = self._http.build_request(
            "POST",
            f"{self._access.base_url}/embeddings",
            content=msgspec.json.encode(texts.body),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        response = await _by(deadline, self._http.send(request, stream=True), late)
        try:
            if response.status_code != 200:
                raise await self._refusal(response, deadline)
            body = await _by(deadline, _body(response, MAX_BODY_BYTES), late)
            await put(read(body, texts.count))
            await put(End(FinishReason.STOP))
        finally:
            await response.aclose()

    async def _refusal(self, response: httpx2.Response, deadline: float) -> Trouble:
        status, body = response.status_code, b""
        if not 300 <= status < 400:
            try:
                reading = _body(response, _ERROR_BODY_BYTES, cut=True)
                body = await _by(min(deadline, _now() + USAGE_WAIT_S), reading, "")
            except (Trouble, *_HTTP_ERRORS):
                body = b""  # the status says enough
        return refused(
            status,
            _lower(response),
            body,
            model=self._model,
            where=str(response.url),
            wall=self._wall(),
        )

    def _broken(self, error: Exception) -> Trouble:
        """The library's own errors, in words that say what is wrong and what to do."""
        where, cause = self._access.base_url, _root(error)
        said = cleaned(str(error)) or type(error).__name__
        match error, cause:
            case _, ssl.SSLError():
                said = cleaned(getattr(cause, "verify_message", "") or cause.reason or str(cause))
                words = f"no secure connection to {where}: {said}; check base_url, or give ca_file"
                return Trouble(EngineFailed(words))
            case _, socket.gaierror():
                words = f"the host of {where} cannot be found by its name; check base_url"
            case httpx2.ConnectTimeout(), _:
                limit = self._options.connect_timeout_s
                words = f"the upstream {where} took no connection within {limit:g} s; is it up?"
            case ((httpx2.ConnectError() | httpx2.ProxyError()), OSError(errno=int(number))):
                # asyncio puts words of its own, with the address, where the system's would be.
                reason = os.strerror(number)
                words = f"the upstream {where} cannot be reached: {reason}; is it up?"
            case ((httpx2.ConnectError() | httpx2.ProxyError()), _):
                words = f"the upstream {where} cannot be reached: {said}; is it up?"
            case httpx2.RemoteProtocolError(), _ if "illegal status" in said:
                words = f"what answers at {where} speaks no HTTP ({said}); check base_url"
                return Trouble(EngineFailed(words))
            case _:
                words = f"the answer of the upstream {where} broke off: {said}"
        return Trouble(EngineFailed(words), again=True)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _by(deadline: float, wait: Awaitable[T], late: str) -> T:
    """Raises ``Trouble`` with the words ``late`` at ``deadline`` of the loop's clock."""
    try:
        async with asyncio.timeout_at(deadline):
            return await wait
    except TimeoutError:
        raise Trouble(EngineFailed(late)) from None


async def _body(response: httpx2.Response, limit: int, *, cut: bool = False) -> bytes:
    """Raises ``EngineFailed`` for a body over ``limit`` bytes, unless the rest may be ``cut``."""
    body = bytearray()
    encoding = response.headers.get("content-encoding", "")
    async for data in unpacked(response.aiter_raw(), encoding):
        body += data
        if len(body) > limit:
            if cut:
                return bytes(body[:limit])
            raise EngineFailed(f"the upstream's answer is larger than {limit:,} bytes")
    return bytes(body)


def _lower(response: httpx2.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _root(error: BaseException) -> BaseException:
    """What lies at the bottom of a wrapped error; asyncio may have tried several addresses."""
    while True:
        if isinstance(error, BaseExceptionGroup):
            inner: BaseException | None = error.exceptions[0]
        else:
            inner = error.__cause__ or error.__context__
        if inner is None or isinstance(error, ssl.SSLError | socket.gaierror):
            return error
        error = inner

"""A connection to Redis that costs a request nothing while Redis is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from mesh.backoff import exponential
from mesh.clock import Clock
from mesh.errors import ConfigError

STRIKES = 3  # failures in a row, after which nobody asks until a ping is answered
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0  # between pings; it doubles
STEADY_S = 10.0  # up for so long, the next pause is the first one again
CONNECTIONS = 16
LEAST_PING_S = 1.0  # the first connection also resolves a name, and may do a TLS handshake

# What a client library lets through when the other side breaks the protocol, beside its own errors.
_FAILURES = (
    RedisError,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RecursionError,
)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Replied:
    """``value``: what Redis said, of the type that was asked for."""

    value: object


@dataclass(frozen=True, slots=True)
class RedisRefusal:
    """Redis is well, and did not do it. ``message`` begins with Redis' own word for why."""

    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """No usable reply in time, or nobody was asked."""


Reply = Replied | RedisRefusal | Failure


class RedisLink:
    """Every call has the deadline ``deadline_s``. After ``STRIKES`` failures in a row calls fail at
    once, until ``run``'s ping is answered. A connection pool does not outlive such a pause, so
    whatever state a broken one was left in is gone with it.

    Raises ``ConfigError`` for a URL that is none.
    """

    def __init__(self, url: str, deadline_s: float, clock: Clock) -> None:
        self._deadline_s = deadline_s
        self._clock = clock
        self._connect = _connector(url)
        self._client: Redis | None = None  # None: not to be asked
        self._lost = asyncio.Event()
        self._strikes = 0
        self._trouble = "Redis is not connected"
        self._failures = 0

    @property
    def up(self) -> bool:
        return self._client is not None

    @property
    def trouble(self) -> str:
        """In words for anybody, without address or name; "" when the last call was answered."""
        return self._trouble

    @property
    def failures(self) -> int:
        return self._failures

    async def call(self, *command: str | bytes | int, want: type = object) -> Reply:
        """One command and its reply, which must be a ``want``. Raises nothing but cancellation."""
        client = self._client
        if client is None:
            return Failure()
        try:
            async with asyncio.timeout(self._deadline_s):
                value = await client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (AuthenticationError, AuthorizationError) as error:
            self._failed(client, error)
        except ResponseError as error:
            self._answered(client)
            # The library takes some of Redis' own words (OOM, NOPERM) off the message.
            return RedisRefusal(f"{error.status_code} {error}" if error.status_code else str(error))
        except _FAILURES as error:
            self._failed(client, error)
        else:
            if isinstance(value, want):
                self._answered(client)
                return Replied(value)
            self._failed(client, TypeError(f"{type(value).__name__}, not {want.__name__}"))
        return Failure()

    async def run(self) -> None:
        """Connects, and connects again after each loss, until cancelled."""
        losses = 0  # in a row
        told = False
        while True:
            client = self._connect()
            try:
                problem = await self._ping(client)
                if problem is None:
                    told = False
                    since = self._clock.now()
                    await self._serve(client)
                    if self._clock.now() - since >= STEADY_S:
                        losses = 0
                elif not told:  # once, not at every ping
                    told = True
                    _LOG.warning(
                        "the memo's Redis cannot be used (%s); this orchestrator goes on with its "
                        "own answers, and tries again",
                        problem,
                    )
            finally:
                self._client = None
                await self._close(client)
            losses += 1
            await self._clock.sleep(
                exponential(losses, base_s=FIRST_PAUSE_S, cap_s=LONGEST_PAUSE_S)
            )

    async def _serve(self, client: Redis) -> None:
        _LOG.info("the memo's Redis answers")
        self._lost.clear()
        self._strikes, self._trouble = 0, ""
        self._client = client
        try:
            await self._lost.wait()
        finally:
            self._trouble = self._trouble or "Redis is not connected"

    async def _ping(self, client: Redis) -> str | None:
        """None when it answers, else why not."""
        try:
            async with asyncio.timeout(max(self._deadline_s, LEAST_PING_S)):
                said = await client.execute_command("PING")  # type: ignore[no-untyped-call]
        except (ResponseError, *_FAILURES) as error:
            self._failures += 1
            self._trouble = _in_words(error)
            return _detail(error)
        if said is not True:  # what the library makes of PONG
            self._trouble = "Redis talks rubbish"
            return "something else than a Redis answers there"
        return None

    async def _close(self, client: Redis) -> None:
        try:
            async with asyncio.timeout(LEAST_PING_S):
                await client.aclose()
        except _FAILURES as error:  # it is given up in any case
            _LOG.debug("closing the memo's Redis connections: %s", _detail(error))

    def _answered(self, client: Redis) -> None:
        if client is self._client:
            self._strikes, self._trouble = 0, ""

    def _failed(self, client: Redis, error: Exception) -> None:
        self._failures += 1
        if client is not self._client:
            return  # of a pool that was given up already
        self._trouble = _in_words(error)
        self._strikes += 1
        if self._strikes >= STRIKES:
            _LOG.warning(
                "the memo's Redis failed %d times in a row (%s); this orchestrator goes on with "
                "its own answers until it is back",
                self._strikes,
                _detail(error),
            )
            self._client = None
            self._lost.set()


def _connector(url: str) -> Callable[[], Redis]:
    remedy = "write redis://HOST:PORT/DB, rediss:// for TLS, or unix:///PATH"
    try:
        options = parse_url(url)
    except ValueError as error:
        raise ConfigError(f"router.memo.redis is no Redis URL ({error}); {remedy}") from None

    def connect() -> Redis:
        # Ours, whatever the URL says: answers are bytes, nothing is tried twice, and a call's
        # deadline covers its wait for a connection.
        ours: dict[str, Any] = {
            "max_connections": CONNECTIONS,
            "timeout": None,
            "retry": Retry(NoBackoff(), 0),
            "decode_responses": False,
            "protocol": 2,
            "driver_info": None,
            "socket_timeout": None,
            "socket_connect_timeout": LEAST_PING_S,
            "health_check_interval": 0,
        }
        return Redis.from_pool(BlockingConnectionPool(**{**options, **ours}))

    try:
        # Now, so that an option it does not know shows at the start.
        connect().connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigError(f"router.memo.redis cannot be used ({error}); {remedy}") from None
    return connect


def _in_words(error: Exception) -> str:
    match error:
        case AuthenticationError() | AuthorizationError():
            return "Redis does not let us in"
        case TimeoutError() | RedisTimeoutError():
            return "Redis does not answer in time"
        case RedisConnectionError() | OSError() | EOFError():
            return "Redis is away"
        case ResponseError():
            return "Redis refuses to answer"
        case _:
            return "Redis talks rubbish"


def _detail(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__

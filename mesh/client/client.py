"""The asynchronous client of one mesh, reached through any of its orchestrators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Unpack

from mesh.client import wire
from mesh.client.begun import Begun
from mesh.client.contacts import Contacts
from mesh.client.conversation import Conversation
from mesh.client.direct import DirectRoutes
from mesh.client.embed import EmbedOptions, embed, embed_request
from mesh.client.options import FLAG, NUMBER, TEXTS, check_kind
from mesh.client.request import Prompt, RequestOptions, request_of
from mesh.client.routes import CALL_TIMEOUT_S, route_all
from mesh.client.stream import Events, EventStream, Generation
from mesh.embedding import Embeddings
from mesh.errors import ConfigError, InvalidRequest, MeshError
from mesh.fleet.records import OrchestratorRecord
from mesh.protobuf.fleet import fleet_from_wire
from mesh.protobuf.route import route_from_wire, route_request_to_wire
from mesh.settings.addresses import DEFAULT_ENDPOINT
from mesh.stream import FleetStatus, NodeStatus, Route
from mesh.types import Request
from mesh.v1 import mesh_pb2 as pb
from mesh.validation import MAX_TIMEOUT_S


class Client:
    """Made by ``mesh.connect``; use it as an asynchronous context manager.

    Every method raises ``MeshError`` subclasses only: ``Unreachable`` when no orchestrator answers,
    and what ``mesh/errors.py`` lists for requests.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        timeout_s: float | None = None,
        connect_timeout_s: float = 5.0,
        discover: bool = False,
        direct: bool = False,
    ) -> None:
        self.endpoints = tuple(endpoints)
        if not self.endpoints:
            raise ConfigError("connect needs at least one endpoint, for example 127.0.0.1:7700")
        for endpoint in self.endpoints:
            _check_endpoint(endpoint)
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._direct = direct
        self._routes = DirectRoutes(self._call, self._through)
        self._contacts = Contacts(self._orchestrators if discover else None)

    @property
    def endpoint(self) -> str:
        """The orchestrator that is asked first now."""
        return next((contact.endpoint for contact in self._contacts), self.endpoints[0])

    async def __aenter__(self) -> Client:
        """Raises ``Unreachable`` when no endpoint answers."""
        for endpoint in self.endpoints:
            self._contacts.add(endpoint)
        try:
            await self._contacts.connect(self._connect_timeout_s)
            await self._contacts.refresh()
            return self
        except BaseException:
            await self.aclose()
            raise

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections; open answers end."""
        await self._routes.aclose()
        await self._contacts.aclose()

    def generate(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> Generation:
        """One answer, a chunk at a time. ``prompt``: a user's text, or messages (``Message`` or
        ``{"role": …, "content": …}``), the last one the user's. Raises ``InvalidRequest`` at once
        for what can be seen to be wrong here; other errors come with the iteration."""
        return Generation(self.events(prompt, **options))

    def events(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> EventStream:
        """As ``generate``, but every event of the stream as it comes (``mesh/stream.py``)."""
        return self._ask(prompt, "", options)

    def conversation(
        self, *, system: str | None = None, **options: Unpack[RequestOptions]
    ) -> Conversation:
        """Prompts that build on each other; ``options`` are those of every prompt. With ``direct``,
        one ticket serves them for as long as it holds."""
        return Conversation(self._ask, system=system, options=options)

    def _ask(self, prompt: Prompt, conversation: str, options: RequestOptions) -> EventStream:
        self._contacts.require()
        request = request_of(prompt, options, self._timeout_s)
        if options.get("direct", self._direct):
            return self._routes.events(request, conversation)
        return self._through(request)

    def _through(
        self, request: Request, begun: Begun | None = None, traceparent: str = ""
    ) -> Events:
        """By way of an orchestrator. ``begun``: what of the answer is there already."""
        return Events(request, self._contacts, begun=begun, traceparent=traceparent)

    async def route(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> Route:
        """A dry run: what would be decided for ``generate`` with the same arguments, and which
        nodes would be asked, best first."""
        request = request_of(prompt, options, self._timeout_s)
        message = route_request_to_wire(request)
        return route_from_wire(await self._call("Route", message))

    def route_many(
        self,
        prompts: Iterable[Prompt],
        *,
        candidates: bool = False,
        **options: Unpack[RequestOptions],
    ) -> AsyncIterator[Route | MeshError]:
        """Dry runs of many prompts, in their order: each one's route or its own error, as they
        come. ``candidates``: with the nodes that would be asked, which costs some time each.
        Iterating raises ``Unreachable`` when no orchestrator is left to ask."""
        asked = (_asked(prompt, options, self._timeout_s) for prompt in prompts)
        return route_all(asked, self._contacts, candidates=candidates)

    async def embed(
        self, texts: Sequence[str] | str, **options: Unpack[EmbedOptions]
    ) -> Embeddings:
        """A vector for each text (a single string is one text), all of one model. At most 256 texts
        a call; each must fit the model's context, since nothing is cut off. Raises ``NoCandidate``
        where no node has a model for it."""
        request = embed_request(texts, options, self._timeout_s)
        return await embed(request, self._contacts)

    async def fleet(self) -> FleetStatus:
        """All records that the orchestrator sees now."""
        return fleet_from_wire(await self._call("Fleet", pb.FleetRequest()))

    async def nodes(self) -> tuple[NodeStatus, ...]:
        """The fleet's nodes, by name."""
        return (await self.fleet()).nodes

    async def _call(self, method: str, message: Any) -> Any:
        for turn in self._contacts.in_turn(wire.never_arrived):
            with turn as contact:
                return await self._contacts.ask(contact, method, message, CALL_TIMEOUT_S)
        raise self._contacts.nobody()

    async def _orchestrators(self) -> tuple[OrchestratorRecord, ...]:
        return (await self.fleet()).orchestrators


def connect(
    endpoint: str | Sequence[str] = DEFAULT_ENDPOINT,
    *,
    timeout_s: float | None = None,
    connect_timeout_s: float = 5.0,
    discover: bool = False,
    direct: bool = False,
) -> Client:
    """A client of the mesh at ``endpoint`` (``host:port``), or at whichever of several answers.

    ``timeout_s``: budget of each request that names none, in seconds; None: the orchestrator's.
    ``connect_timeout_s``: per endpoint. ``discover``: learn of the fleet's other orchestrators, to
    go on with one of them when this one is lost. ``direct``: stream straight from nodes, as the
    option of that name says. Raises ``ConfigError`` for what is no endpoint; entering the context
    raises ``Unreachable``.

    ::

        async with mesh.connect("127.0.0.1:7700") as client:
            async for chunk in client.generate("What is 17 + 25?"):
                print(chunk.text, end="", flush=True)
    """
    check_kind("endpoint", endpoint, TEXTS, error=ConfigError)
    check_kind("timeout_s", timeout_s, NUMBER, optional=True, error=ConfigError)
    check_kind("connect_timeout_s", connect_timeout_s, NUMBER, error=ConfigError)
    for name, seconds in (("timeout_s", timeout_s), ("connect_timeout_s", connect_timeout_s)):
        if seconds is not None and not 0 < seconds <= MAX_TIMEOUT_S:
            raise ConfigError(
                f"{name} must be more than 0 and at most {MAX_TIMEOUT_S:,} seconds, not {seconds}"
            )
    check_kind("discover", discover, FLAG, error=ConfigError)
    check_kind("direct", direct, FLAG, error=ConfigError)
    endpoints = (endpoint,) if isinstance(endpoint, str) else tuple(endpoint)
    return Client(
        endpoints,
        timeout_s=timeout_s,
        connect_timeout_s=connect_timeout_s,
        discover=discover,
        direct=direct,
    )


def _asked(prompt: Prompt, options: RequestOptions, timeout_s: float | None) -> Request | MeshError:
    try:
        return request_of(prompt, options, timeout_s)
    except InvalidRequest as error:
        return error


def _check_endpoint(endpoint: str) -> None:
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"endpoint '{endpoint}' is not HOST:PORT, for example {DEFAULT_ENDPOINT}")

"""The asynchronous client of one mesh, reached through any of its orchestrators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, TypedDict, Unpack

from mesh.client import wire
from mesh.client.answer import Answer, whole_answer
from mesh.client.begun import Begun
from mesh.client.connecting import ConnectOptions, connecting
from mesh.client.contacts import Contacts
from mesh.client.conversation import Conversation
from mesh.client.direct import DirectRoutes
from mesh.client.embed import EmbedOptions, embed, embed_request
from mesh.client.options import FLAG, NUMBER, Kind, checked, checked_options
from mesh.client.prompt import Prompt, prompts_of
from mesh.client.request import RequestOptions, checked_request_options, request_of
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
from mesh.validation import check_timeout


class FleetOptions(TypedDict, total=False):
    """``timeout_s``: seconds for the call, 10 when it is not given."""

    timeout_s: float


FLEET_KINDS: dict[str, Kind] = {"timeout_s": NUMBER}


class Client:
    """Made by ``mesh.connect``; use it as an asynchronous context manager.

    Every method raises ``MeshError`` subclasses only: ``ConfigError`` before it is connected and
    after it was closed, ``InvalidRequest`` for what is wrong with what it is given,
    ``Unreachable`` when no orchestrator answers, and what ``mesh.errors`` lists for requests.
    """

    def __init__(
        self,
        endpoint: str | Sequence[str] = DEFAULT_ENDPOINT,
        **options: Unpack[ConnectOptions],
    ) -> None:
        said = self._said = connecting(endpoint, options)
        self._timeout_s = said.timeout_s
        self._routes = DirectRoutes(self._call, self._through)
        self._contacts = Contacts(self._orchestrators if said.discover else None)

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Those that it was told."""
        return self._said.endpoints

    @property
    def endpoint(self) -> str:
        """The orchestrator that is asked first now."""
        return next((contact.endpoint for contact in self._contacts), self.endpoints[0])

    async def __aenter__(self) -> Client:
        """Raises ``Unreachable`` when no endpoint answers."""
        if any(self._contacts):
            raise ConfigError("the client is connected already; connect another one beside it")
        for endpoint in self.endpoints:
            self._contacts.add(endpoint)
        try:
            await self._contacts.connect(self._said.connect_timeout_s)
            await self._contacts.refresh()
            return self
        except BaseException:
            await self.aclose()
            raise

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections; open answers end. Idempotent."""
        await self._routes.aclose()
        await self._contacts.aclose()

    def generate(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> Generation:
        """One answer, a chunk at a time. ``prompt``: a user's text, or messages (``Message`` or
        ``{"role": …, "content": …}``), the last one the user's. Raises ``InvalidRequest`` at once
        for what can be seen to be wrong here; other errors come with the iteration."""
        return Generation(self.events(prompt, **options))

    async def ask(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> Answer:
        """One answer, whole, with the arguments of ``generate``. Raises the error that ended it, if
        one did, and then nothing is left of it: who wants what came before that iterates. What a
        limit ended is given, and says so (``Answer.whole``)."""
        return await whole_answer(self.generate(prompt, **options))

    def events(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> EventStream:
        """As ``generate``, but every event of the stream as it comes (``StreamEvent``)."""
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
        if options.get("direct", self._said.direct):
            return self._routes.events(request, conversation)
        return self._through(request)

    def _through(
        self, request: Request, begun: Begun | None = None, traceparent: str = ""
    ) -> Events:
        """By way of an orchestrator. ``begun``: what of the answer is there already."""
        return Events(request, self._contacts, begun=begun, traceparent=traceparent)

    async def route(self, prompt: Prompt, **options: Unpack[RequestOptions]) -> Route:
        """A dry run: what would be decided for ``generate`` with the same arguments, and which
        nodes would be asked, best first. Given within 10 seconds, else ``DeadlineExceeded``."""
        self._contacts.require()
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
        """Dry runs of many prompts (a single string is one), in their order: each one's route or
        its own error, as they come. ``candidates``: with the nodes that would be asked, which costs
        some time each. Raises ``InvalidRequest`` for options that are wrong for all of them;
        iterating raises ``Unreachable`` when no orchestrator is left to ask."""
        self._contacts.require()
        checked_request_options(options, "candidates")
        checked("candidates", candidates, FLAG)
        asked = (_asked(prompt, options, self._timeout_s) for prompt in prompts_of(prompts))
        return route_all(asked, self._contacts, candidates=candidates)

    async def embed(
        self, texts: Sequence[str] | str, **options: Unpack[EmbedOptions]
    ) -> Embeddings:
        """A vector for each text (a single string is one text), all of one model. At most 256 texts
        a call; each must fit the model's context, since nothing is cut off. Raises ``NoCandidate``
        where no node has a model for it."""
        self._contacts.require()
        request = embed_request(texts, options, self._timeout_s)
        return await embed(request, self._contacts)

    async def fleet(self, **options: Unpack[FleetOptions]) -> FleetStatus:
        """All records that the orchestrator sees now. Raises ``DeadlineExceeded`` when it does not
        say in time."""
        self._contacts.require()
        said = checked_options(options, FLEET_KINDS, ())
        timeout_s = said.get("timeout_s", CALL_TIMEOUT_S)
        check_timeout(timeout_s)
        return fleet_from_wire(await self._call("Fleet", pb.FleetRequest(), timeout_s))

    async def nodes(self, **options: Unpack[FleetOptions]) -> tuple[NodeStatus, ...]:
        """The fleet's nodes, by name. As ``fleet`` has them."""
        return (await self.fleet(**options)).nodes

    async def _call(self, method: str, message: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        for turn in self._contacts.in_turn(wire.never_arrived):
            with turn as contact:
                return await self._contacts.ask(contact, method, message, timeout_s)
        raise self._contacts.nobody()

    async def _orchestrators(self) -> tuple[OrchestratorRecord, ...]:
        return (await self.fleet()).orchestrators


def connect(
    endpoint: str | Sequence[str] = DEFAULT_ENDPOINT, **options: Unpack[ConnectOptions]
) -> Client:
    """A client of the mesh at ``endpoint`` (``host:port``), or at whichever of several answers.
    Raises ``ConfigError`` for what is no endpoint and for options that are wrong; entering the
    context raises ``Unreachable``.

    ::

        async with mesh.connect("127.0.0.1:7700") as client:
            print(await client.ask("What is 17 + 25?"))
    """
    return Client(endpoint, **options)


def _asked(prompt: Prompt, options: RequestOptions, timeout_s: float | None) -> Request | MeshError:
    try:
        return request_of(prompt, options, timeout_s)
    except InvalidRequest as error:
        return error

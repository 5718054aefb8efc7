"""The asynchronous client of one mesh, reached through any of its orchestrators."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

import grpc

from mesh.client import wire
from mesh.client.begun import Begun
from mesh.client.conversation import Conversation
from mesh.client.direct import DirectRoutes
from mesh.client.embed import EmbedOptions, embed, embed_request
from mesh.client.routes import CALL_TIMEOUT_S, route_all
from mesh.client.stream import Events, EventStream, Generation, Lane
from mesh.embedding import Embeddings
from mesh.errors import ConfigError, InvalidRequest, MeshError, Unreachable
from mesh.protobuf.fleet import fleet_from_wire
from mesh.protobuf.route import route_from_wire, route_request_to_wire
from mesh.settings.addresses import DEFAULT_ENDPOINT
from mesh.stream import FleetStatus, NodeStatus, Route
from mesh.types import Message, ModelId, Priority, Request, RequestId, Role, Sampling
from mesh.v1 import mesh_pb2 as pb
from mesh.v1 import mesh_pb2_grpc
from mesh.validation import (
    check_request,
    check_specialty,
    check_tenant,
    unknown_role,
)

Prompt = str | Sequence[Message | Mapping[str, str]]
MOST_LANES = 16  # orchestrators that one client keeps a channel to


class Options(TypedDict, total=False):
    """What a request may say beside its prompt; ``mesh.types.Sampling`` explains the sampling
    parameters. ``timeout_s``: seconds, None for the client's ``timeout_s``, else the orchestrator's
    default. ``resume`` False: an answer that breaks after its first token ends in ``NotResumable``
    instead of going on elsewhere. ``direct``: stream straight from a node where that is possible;
    nothing else changes, and a node that fails is made good through an orchestrator.
    ``cacheable``: whether an earlier answer to the same request will do, and this one may be kept
    for that; None: where the answer is deterministic anyway. ``tenant``: whose request it is."""

    specialty: str | None
    model: str | None
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    seed: int | None
    stop: Sequence[str] | str
    grammar: str | None
    json_schema: str | Mapping[str, Any] | None
    timeout_s: float | None
    priority: Priority | str
    resume: bool
    request_id: str | None
    direct: bool
    cacheable: bool | None
    tenant: str


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
        self._discover = discover
        self._direct = direct
        self._routes = DirectRoutes(self._call, self._through)
        self._lanes: list[Lane] = []

    @property
    def endpoint(self) -> str:
        """The orchestrator that is asked first now."""
        return self._lanes[0].endpoint if self._lanes else self.endpoints[0]

    async def __aenter__(self) -> Client:
        """Raises ``Unreachable`` when no endpoint answers."""
        channels = [(endpoint, wire.open_channel(endpoint)) for endpoint in self.endpoints]
        self._lanes = [
            Lane(endpoint=endpoint, channel=channel, stub=_stub(channel))
            for endpoint, channel in channels
        ]
        try:
            for lane in tuple(self._lanes):
                if await wire.reachable(lane.channel, self._connect_timeout_s):
                    self._prefer(lane)
                    if self._discover:
                        await self._learn()
                    return self
            raise wire.no_orchestrator(self.endpoints)
        except BaseException:
            await self.aclose()
            raise

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections; open answers end."""
        await self._routes.aclose()
        lanes, self._lanes = self._lanes, []
        for lane in lanes:
            await lane.channel.close()

    def generate(self, prompt: Prompt, **options: Unpack[Options]) -> Generation:
        """One answer, a chunk at a time. ``prompt``: a user's text, or messages (``Message`` or
        ``{"role": …, "content": …}``), the last one the user's. Raises ``InvalidRequest`` at once
        for what can be seen to be wrong here; other errors come with the iteration."""
        return Generation(self.events(prompt, **options))

    def events(self, prompt: Prompt, **options: Unpack[Options]) -> EventStream:
        """As ``generate``, but every event of the stream as it comes (``mesh/stream.py``)."""
        return self._ask(prompt, "", options)

    def conversation(
        self, *, system: str | None = None, **options: Unpack[Options]
    ) -> Conversation:
        """Prompts that build on each other; ``options`` are those of every prompt. With ``direct``,
        one ticket serves them for as long as it holds."""
        return Conversation(self._ask, system=system, options=options)

    def _ask(self, prompt: Prompt, conversation: str, options: Options) -> EventStream:
        request = _request(prompt, options, self._timeout_s)
        if options.get("direct", self._direct):
            self._open()
            return self._routes.events(request, conversation)
        return self._through(request)

    def _through(
        self, request: Request, begun: Begun | None = None, traceparent: str = ""
    ) -> Events:
        """By way of an orchestrator. ``begun``: what of the answer is there already."""
        return Events(
            request,
            self._open(),
            self._prefer,
            refresh=self._learn if self._discover else None,
            begun=begun,
            traceparent=traceparent,
        )

    async def route(self, prompt: Prompt, **options: Unpack[Options]) -> Route:
        """A dry run: what would be decided for ``generate`` with the same arguments, and which
        nodes would be asked, best first."""
        request = _request(prompt, options, self._timeout_s)
        message = route_request_to_wire(request)
        return route_from_wire(await self._call("Route", message))

    def route_many(
        self, prompts: Iterable[Prompt], *, candidates: bool = False, **options: Unpack[Options]
    ) -> AsyncIterator[Route | MeshError]:
        """Dry runs of many prompts, in their order: each one's route or its own error, as they
        come. ``candidates``: with the nodes that would be asked, which costs some time each.
        Iterating raises ``Unreachable`` when no orchestrator is left to ask."""
        asked = (_asked(prompt, options, self._timeout_s) for prompt in prompts)
        return route_all(asked, self._open(), self._prefer, candidates=candidates)

    async def embed(
        self, texts: Sequence[str] | str, **options: Unpack[EmbedOptions]
    ) -> Embeddings:
        """A vector for each text (a single string is one text), all of one model. At most 256 texts
        a call; each must fit the model's context, since nothing is cut off. Raises ``NoCandidate``
        where no node has a model for it."""
        request = embed_request(texts, options, self._timeout_s)
        return await embed(request, self._open(), self._prefer)

    async def fleet(self) -> FleetStatus:
        """All records that the orchestrator sees now."""
        return fleet_from_wire(await self._call("Fleet", pb.FleetRequest()))

    async def nodes(self) -> tuple[NodeStatus, ...]:
        """The fleet's nodes, by name."""
        return (await self.fleet()).nodes

    async def _call(self, method: str, message: Any) -> Any:
        lanes = self._open()
        for lane in lanes:
            try:
                answer = await getattr(lane.stub, method)(message, timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if not wire.never_arrived(error):
                    raise wire.translated(error, lane.endpoint) from None
                continue
            self._prefer(lane)
            return answer
        raise wire.no_orchestrator(tuple(lane.endpoint for lane in lanes))

    async def _learn(self) -> tuple[Lane, ...]:
        """All lanes, with those to orchestrators of the fleet that were not known before."""
        try:
            found = (await self.fleet()).orchestrators
        except Unreachable:
            return self._open()
        known = {lane.endpoint for lane in self._lanes}
        for record in found:
            if record.endpoint in known or len(self._lanes) >= MOST_LANES:
                continue
            channel = wire.open_channel(record.endpoint)
            known.add(record.endpoint)
            self._lanes.append(Lane(endpoint=record.endpoint, channel=channel, stub=_stub(channel)))
        return self._open()

    def _open(self) -> tuple[Lane, ...]:
        if not self._lanes:
            raise ConfigError("the client is not connected; use it in `async with mesh.connect(…)`")
        return tuple(self._lanes)

    def _prefer(self, lane: Lane) -> None:
        """It answered, so it is asked first from now on."""
        if lane in self._lanes and self._lanes[0] is not lane:
            self._lanes.remove(lane)
            self._lanes.insert(0, lane)


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
    endpoints = (endpoint,) if isinstance(endpoint, str) else tuple(endpoint)
    return Client(
        endpoints,
        timeout_s=timeout_s,
        connect_timeout_s=connect_timeout_s,
        discover=discover,
        direct=direct,
    )


def messages_of(prompt: Prompt) -> tuple[Message, ...]:
    """Raises ``InvalidRequest``."""
    if isinstance(prompt, str):
        return (Message.of(Role.USER, prompt),)
    return tuple(_message(item, number) for number, item in enumerate(prompt, 1))


def _message(item: Message | Mapping[str, str], number: int) -> Message:
    if isinstance(item, Message):
        return item
    if not isinstance(item, Mapping) or not isinstance(item.get("content"), str):
        raise InvalidRequest(
            f'message {number} must be a Message or {{"role": "user", "content": "…"}}'
        )
    try:
        return Message.of(Role(item.get("role", Role.USER)), item["content"])
    except ValueError:
        raise unknown_role(item.get("role"), number) from None


def _request(prompt: Prompt, options: Options, timeout_s: float | None) -> Request:
    """Checked here as far as it can be: what is wrong with a call shows where it is made."""
    default = Sampling()
    stop = options.get("stop", ())
    sampling = Sampling(
        max_tokens=options.get("max_tokens", default.max_tokens),
        temperature=options.get("temperature", default.temperature),
        top_p=options.get("top_p", default.top_p),
        top_k=options.get("top_k", default.top_k),
        min_p=options.get("min_p", default.min_p),
        repetition_penalty=options.get("repetition_penalty", default.repetition_penalty),
        seed=options.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        grammar=options.get("grammar"),
        json_schema=_schema_text(options.get("json_schema")),
    )
    messages = messages_of(prompt)
    chosen = options.get("timeout_s")
    timeout_s = chosen if chosen is not None else timeout_s
    # The size limit is the orchestrator's to say.
    check_request(messages, sampling, max_bytes=wire.MAX_MESSAGE_BYTES, timeout_s=timeout_s)
    specialty, model = options.get("specialty"), options.get("model")
    priority = options.get("priority", Priority.NORMAL)
    try:
        return Request(
            id=RequestId(options.get("request_id") or uuid.uuid4().hex),
            messages=messages,
            sampling=sampling,
            specialty=check_specialty(specialty) if specialty else None,
            model=ModelId(model) if model else None,
            timeout_s=timeout_s,
            priority=Priority(priority),
            resumable=options.get("resume", True),
            cacheable=options.get("cacheable"),
            tenant=check_tenant(options.get("tenant", "")),
        )
    except ValueError:
        raise InvalidRequest(
            f"priority {str(priority)[:40]!r} is unknown; one of {', '.join(Priority)}"
        ) from None


def _schema_text(schema: str | Mapping[str, Any] | None) -> str | None:
    if schema is None or isinstance(schema, str):
        return schema
    try:
        return json.dumps(dict(schema))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"json_schema is not JSON: {error}") from None


def _asked(prompt: Prompt, options: Options, timeout_s: float | None) -> Request | MeshError:
    try:
        return _request(prompt, options, timeout_s)
    except InvalidRequest as error:
        return error


def _stub(channel: Any) -> Any:
    make: Any = mesh_pb2_grpc.MeshStub  # generated, and without types
    return make(channel)


def _check_endpoint(endpoint: str) -> None:
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"endpoint '{endpoint}' is not HOST:PORT, for example {DEFAULT_ENDPOINT}")

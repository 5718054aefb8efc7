"""A conversation: prompts that build on each other, with the ticket that serves them all."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from typing import Unpack

from mesh.client.answer import Answer, whole_answer
from mesh.client.options import TEXT, checked
from mesh.client.request import RequestOptions, checked_request_options
from mesh.client.stream import EventStream, Generation
from mesh.stream import Done, StreamEvent, Tokens
from mesh.types import Message, Role

Ask = Callable[[tuple[Message, ...], str, RequestOptions], EventStream]


class Conversation:
    """Made by ``Client.conversation``. One prompt at a time: an answer becomes part of the history
    when it is complete, and a prompt that ended in an error or was left leaves no trace."""

    def __init__(self, ask: Ask, *, system: str | None, options: RequestOptions) -> None:
        self._options = checked_request_options(options, "system")
        self._id = uuid.uuid4().hex
        self._ask = ask
        self._messages: tuple[Message, ...] = ()
        checked("system", system, TEXT, optional=True)
        if system is not None:
            self._messages = (Message.of(Role.SYSTEM, system),)

    @property
    def id(self) -> str:
        """32 hex digits, by which its prompts are known to belong together."""
        return self._id

    @property
    def messages(self) -> tuple[Message, ...]:
        """The history so far."""
        return self._messages

    def generate(self, prompt: str, **options: Unpack[RequestOptions]) -> Generation:
        """As ``Client.generate``, with the history before ``prompt``."""
        return Generation(self.events(prompt, **options))

    async def ask(self, prompt: str, **options: Unpack[RequestOptions]) -> Answer:
        """As ``Client.ask``, with the history before ``prompt``."""
        return await whole_answer(self.generate(prompt, **options))

    def events(self, prompt: str, **options: Unpack[RequestOptions]) -> EventStream:
        """As ``Client.events``, with the history before ``prompt``."""
        checked("the prompt of a conversation", prompt, TEXT)
        messages = (*self._messages, Message.of(Role.USER, prompt))

        def complete(text: str) -> None:
            self._messages = (*messages, Message.of(Role.ASSISTANT, text))

        chosen: RequestOptions = {**self._options, **options}
        return _Recorded(self._ask(messages, self._id, chosen), complete)


class _Recorded(AsyncIterator[StreamEvent]):
    """The events, and what they said once they are complete."""

    def __init__(self, events: EventStream, complete: Callable[[str], None]) -> None:
        self._events = events
        self._complete = complete
        self._texts: list[str] = []
        self.request = events.request

    async def __anext__(self) -> StreamEvent:
        event = await anext(self._events)
        match event:
            case Tokens(pieces=pieces):
                self._texts += [piece.text for piece in pieces]
            case Done():
                self._complete("".join(self._texts))
            case _:
                pass
        return event

    async def aclose(self) -> None:
        await self._events.aclose()

    async def __aenter__(self) -> _Recorded:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

"""Messages to token ids, through the model's own chat template.

What a user types must never become a control token: ``<|im_end|>`` in a message would end the
user's turn and let the rest pose as another's. So a prompt is rendered twice, once with the real
contents and once with a placeholder for each. If no content spells a control token and both
renderings hold the same control tokens in the same order, the real one stands as tokenised whole,
which is what the model saw in training. Otherwise the second one is cut at its placeholders, the
template's parts are tokenised with control tokens, and the contents without. So with results of
tools and the texts in the arguments of calls; names and ids, which have no signs of their own in
any rendering, may not spell a control token at all.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import jinja2

from mesh.errors import CannotAnswer, ContextOverflow, InvalidRequest, ModelFileError
from mesh.parts import beyond_text, kind, prompt_bytes, texts_of
from mesh.types import Message, Role, ToolCall, ToolResult
from node.engines.first_line import first_line
from node.engines.placeholders import Placeholders, in_json
from node.engines.sight import refuse_images
from node.engines.template_sandbox import RENDER_S, LimitedSandbox, TooMuch, within
from node.engines.turns import Turn, turns

# Ordinary text has 3 to 5 bytes a token: beyond this many a prompt is most likely too long, and
# is measured in slices, so that a megabyte is refused after the first few of them.
_SUSPICIOUS_BYTES_PER_TOKEN = 6
_SLICE = 16_384  # characters
_ENDLESS = {RecursionError: "it calls itself without end", MemoryError: "it fills the memory"}
_PLACEHOLDERS = "squadron_placeholders"  # a variable for ``_to_json``
_CUT_COSTS = 4  # tokens that cutting a text in two may add, generously


class Tokenizer(Protocol):
    """What is needed of an engine's ``Vocabulary``."""

    longest: int

    @property
    def bos(self) -> int | None: ...

    def special_text(self, name: str) -> str: ...

    def is_control(self, token: int) -> bool: ...

    def check(self, tokens: Sequence[int]) -> None: ...

    def with_control(self, text: str) -> list[int]: ...

    def plain(self, text: str) -> list[int]: ...


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _local_time(form: str) -> str:
    return datetime.datetime.now().astimezone().strftime(form)


@dataclass(frozen=True, slots=True)
class ToolSupport:
    """Whether a template writes calls and results of tools; ``as_text``: it wants the arguments as
    JSON text."""

    calls: bool
    results: bool
    as_text: bool


class TemplateRefuses(CannotAnswer):
    """What this model has no turn for ("System role not supported"), another one may have: it is
    this model's inability, and the request is not wrong for it."""


class ChatTemplate:
    """A Hugging Face chat template, rendered in a sandbox: it comes with a downloaded file.

    Set up as ``transformers`` does (``utils/chat_template_utils.py``). Raises ``ModelFileError``
    when ``source`` does not parse.
    """

    def __init__(
        self, source: str, *, bos: str, eos: str, now: Callable[[str], str] = _local_time
    ) -> None:
        environment = self._environment = LimitedSandbox()
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_refuse, strftime_now=now)
        try:
            with within(RENDER_S):
                self._template = environment.from_string(source)
        except (jinja2.TemplateError, RecursionError, MemoryError, SyntaxError) as error:
            raise ModelFileError(
                f"the model's chat template does not parse ({first_line(error)}); use another "
                "build of this model"
            ) from None
        self._variables: dict[str, Any] = {"bos_token": bos, "eos_token": eos, "tools": None}
        self._now = now

    def render(self, turns: Sequence[Turn], placeholders: str = "") -> str:
        """The prompt for these turns, the assistant's turn opened. ``placeholders``: how those
        among the turns begin, "" where there are none. Raises ``CannotAnswer`` where it meets a
        limit, which another model's need not, and as ``TemplateRefuses`` with the template's own
        words when it refuses them."""
        more = self._empty_tools() if self._looks_into_tools else {}
        return self._rendered(turns, placeholders, more)

    @cached_property
    def _looks_into_tools(self) -> bool:
        """Whether it does so without asking whether there are any, as some do that were made for
        nothing but tools."""
        hello = Message.of(Role.USER, "hello")
        for more in ({}, self._empty_tools()):
            for asked in ((hello,), (Message.of(Role.SYSTEM, "be brief"), hello)):
                try:
                    self._rendered(turns(asked), "", more)
                except TemplateRefuses:
                    continue
                except CannotAnswer:  # it met a limit, and would again
                    return False
                return bool(more)
        return False

    def _empty_tools(self) -> dict[str, Any]:
        """What such templates name besides, Command R's and Firefunction's."""
        day = self._now("%b %d %Y")
        return {"tools": [], "documents": [], "functions": "[]", "datetime": day}

    def _rendered(self, turns: Sequence[Turn], placeholders: str, more: dict[str, Any]) -> str:
        try:
            return self._environment.written(
                self._template,
                {
                    "messages": turns,
                    "add_generation_prompt": True,
                    _PLACEHOLDERS: placeholders,
                    **self._variables,
                    **more,
                },
            )
        except (TooMuch, OverflowError, RecursionError, MemoryError) as error:
            why = _ENDLESS.get(type(error)) or first_line(error)
            raise CannotAnswer(
                f"the model's chat template fails at these messages: {why}; ask another model"
            ) from None
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise TemplateRefuses(
                f"the model's chat template refuses these messages: {first_line(error)}; ask "
                "another model"
            ) from None

    @cached_property
    def reading(self) -> ToolSupport:
        """What of calls it writes into a prompt, found out by giving it some."""
        as_object = self._shown(as_text=False)
        # A dictionary that was printed instead of written as JSON has single quotes.
        as_text = "'squadron-key'" in as_object or not _has_call(as_object)
        shown = self._shown(as_text=True) if as_text else as_object
        return ToolSupport(
            calls=_has_call(shown), results="squadron-result" in shown, as_text=as_text
        )

    def _shown(self, *, as_text: bool) -> str:
        call = ToolCall("squadron0", "squadron_tool", '{"squadron-key": "squadron-value"}')
        asked = (
            Message.of(Role.USER, "hello"),
            Message(role=Role.ASSISTANT, parts=(call,)),
            Message(role=Role.TOOL, parts=(ToolResult(call.id, "squadron-result"),)),
        )
        try:
            return self.render(turns(asked, as_text=as_text))
        except CannotAnswer:
            return ""


def _has_call(shown: str) -> bool:
    return all(text in shown for text in ("squadron_tool", "squadron-key", "squadron-value"))


@jinja2.pass_context
def _to_json(
    context: jinja2.runtime.Context, value: Any, ensure_ascii: bool = False, **options: Any
) -> str:
    begin = context.get(_PLACEHOLDERS)
    if begin:
        return in_json(json.dumps(value, ensure_ascii=False, **options), begin)
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """Token ids: ``prompt`` up to where the answer begins, ``answer`` what there is of it already,
    ``tokens`` both, as far as the context goes."""

    prompt: list[int]
    answer: list[int]
    tokens: list[int]


class PromptBuilder:
    """Builds prompts for one model of ``context_length`` tokens."""

    def __init__(self, template: ChatTemplate, tokenizer: Tokenizer, context_length: int) -> None:
        self._template = template
        self._tokenizer = tokenizer
        self._context_length = context_length

    def begin(
        self, messages: Sequence[Message], delivered: Sequence[int], delivered_text: str
    ) -> TokenizedPrompt:
        """A sequence of which ``delivered``, or else ``delivered_text``, is answered. Raises as
        ``build``, and ``InvalidRequest`` for ids that are not the model's."""
        self._tokenizer.check(delivered)
        prompt = self.build(messages)
        answer = list(delivered) or self._tokenizer.plain(delivered_text)
        return TokenizedPrompt(prompt, answer, (prompt + answer)[: self._context_length])

    def build(self, messages: Sequence[Message]) -> list[int]:
        """Token ids up to where the assistant's answer begins.

        Raises ``ContextOverflow`` when they leave no room for one more token, ``InvalidRequest``
        when the template refuses the messages, and ``CannotAnswer`` that names the part for an
        image, and for a call or a result that the template has no place for.
        """
        if not messages:
            raise InvalidRequest("there are no messages; give at least one")
        self._refuse_what_cannot_fit(messages)
        as_text = self._checked(messages)
        contents: list[str] = []

        def noted(text: str) -> str:
            contents.append(text)
            return text

        real = turns(messages, said=noted, as_text=as_text)
        placeholders = Placeholders(contents)
        marks = iter(placeholders.marks)
        blank = turns(messages, said=lambda _: next(marks), as_text=as_text)
        parts = placeholders.cut(self._template.render(blank, placeholders.begin))
        expected = [
            token
            for part, is_template in parts
            if is_template
            for token in self._controls(self._tokenizer.with_control(part))
        ]
        prompt = self._tokenizer.with_control(self._template.render(real))
        spelled = any(self._controls(self._tokenizer.with_control(c)) for c in set(contents))
        if spelled or self._controls(prompt) != expected:
            prompt = []
            for part, is_template in parts:
                tokenise = self._tokenizer.with_control if is_template else self._tokenizer.plain
                prompt += tokenise(part)
        bos = self._tokenizer.bos
        if bos is not None and prompt[:1] != [bos]:
            prompt.insert(0, bos)
        if len(prompt) >= self._context_length:
            raise self._overflow(f"{len(prompt)}")
        if not prompt:
            raise InvalidRequest("the model's chat template made an empty prompt of the messages")
        return prompt

    def _checked(self, messages: Sequence[Message]) -> bool:
        """Whether arguments of calls are given as text."""
        refuse_images(messages)
        as_text = False
        for where, part in beyond_text(messages):
            reading = self._template.reading
            place = reading.calls if isinstance(part, ToolCall) else reading.results
            if not place:
                raise CannotAnswer(
                    f"{where} is {kind(part)}, and this model's chat template has no place for "
                    "one; ask a model that was trained to call tools"
                )
            if isinstance(part, ToolCall) and any(
                self._controls(self._tokenizer.with_control(text)) for text in (part.id, part.name)
            ):
                raise InvalidRequest(f"{where}: its id or name spells a control token of the model")
            as_text = reading.as_text
        return as_text

    def _controls(self, tokens: Sequence[int]) -> list[int]:
        return [t for t in tokens if self._tokenizer.is_control(t)]

    def _refuse_what_cannot_fit(self, messages: Sequence[Message]) -> None:
        size = prompt_bytes(messages)
        if size >= self._context_length * self._tokenizer.longest:
            raise self._overflow(f"at least {-(-size // self._tokenizer.longest)}")
        if size < self._context_length * _SUSPICIOUS_BYTES_PER_TOKEN:
            return
        at_least = 0
        for text in [text for message in messages for text in texts_of(message)]:
            for start in range(0, len(text), _SLICE):
                piece = text[start : start + _SLICE]
                at_least += max(0, len(self._tokenizer.plain(piece)) - _CUT_COSTS)
                if at_least >= self._context_length:
                    raise self._overflow(f"more than {at_least}")

    def _overflow(self, tokens: str) -> ContextOverflow:
        return ContextOverflow(
            f"the prompt has {tokens} tokens and the model's context is {self._context_length}, "
            "answer included; shorten the prompt or ask a model with a longer context"
        )

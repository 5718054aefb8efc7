"""Messages to token ids, through the model's own chat template.

What a user types must never become a control token: ``<|im_end|>`` in a message would end the
user's turn and let the rest pose as another's. So a prompt is rendered twice, once with the real
contents and once with a placeholder for each. If no content spells a control token and both
renderings hold the same control tokens in the same order, the real one stands as tokenised whole,
which is what the model saw in training. Otherwise the second one is cut at its placeholders, the
template's parts are tokenised with control tokens, and the contents without.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from mesh.errors import ContextOverflow, InvalidRequest, ModelFileError
from mesh.types import Message
from node.engines.first_line import first_line

# Ordinary text has 3 to 5 bytes a token: beyond this many a prompt is most likely too long, and
# is measured in slices, so that a megabyte is refused after the first few of them.
_SUSPICIOUS_BYTES_PER_TOKEN = 6
_SLICE = 16_384  # characters
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


class _Generation(Extension):
    """``{% generation %}`` marks what training learns from; when rendering it means nothing."""

    tags = {"generation"}  # noqa: RUF012 - the base class says so

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _local_time(form: str) -> str:
    return datetime.datetime.now().astimezone().strftime(form)


class ChatTemplate:
    """A Hugging Face chat template, rendered in a sandbox: it comes with a downloaded file.

    Set up as ``transformers`` does (``utils/chat_template_utils.py``). Raises ``ModelFileError``
    when ``source`` does not parse.
    """

    def __init__(
        self, source: str, *, bos: str, eos: str, now: Callable[[str], str] = _local_time
    ) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = lambda value, **options: json.dumps(
            value, ensure_ascii=False, **options
        )
        environment.globals.update(raise_exception=_refuse, strftime_now=now)
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise ModelFileError(
                f"the model's chat template does not parse ({first_line(error)}); use another "
                "build of this model"
            ) from None
        self._variables: dict[str, Any] = {"bos_token": bos, "eos_token": eos, "tools": None}

    def render(self, messages: Sequence[tuple[str, str]]) -> str:
        """The prompt for (role, content) pairs, the assistant's turn opened. Raises
        ``InvalidRequest`` with the template's own words when it refuses them."""
        try:
            return self._template.render(
                messages=[{"role": role, "content": content} for role, content in messages],
                add_generation_prompt=True,
                **self._variables,
            )
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise InvalidRequest(
                f"the model's chat template refuses these messages: {first_line(error)}"
            ) from None


@dataclass(frozen=True, slots=True)
class Begun:
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
    ) -> Begun:
        """A sequence of which ``delivered``, or else ``delivered_text``, is answered. Raises as
        ``build``, and ``InvalidRequest`` for ids that are not the model's."""
        self._tokenizer.check(delivered)
        prompt = self.build(messages)
        answer = list(delivered) or self._tokenizer.plain(delivered_text)
        return Begun(prompt, answer, (prompt + answer)[: self._context_length])

    def build(self, messages: Sequence[Message]) -> list[int]:
        """Token ids up to where the assistant's answer begins.

        Raises ``ContextOverflow`` when they leave no room for one more token, and
        ``InvalidRequest`` when the template refuses the messages.
        """
        if not messages:
            raise InvalidRequest("there are no messages; give at least one")
        self._refuse_what_cannot_fit(messages)
        pairs = [(m.role.value, m.text) for m in messages]
        contents = [m.text for m in messages]
        marks = _placeholders(contents)
        parts = self._parts(pairs, marks)
        expected = [
            token
            for part, is_template in parts
            if is_template
            for token in self._controls(self._tokenizer.with_control(part))
        ]
        prompt = self._tokenizer.with_control(self._template.render(pairs))
        spelled = any(self._controls(self._tokenizer.with_control(c)) for c in contents)
        if spelled or self._controls(prompt) != expected:
            prompt = []
            for part, is_template in parts:
                if is_template:
                    prompt += self._tokenizer.with_control(part)
                else:
                    prompt += self._tokenizer.plain(contents[marks.index(part)])
        bos = self._tokenizer.bos
        if bos is not None and prompt[:1] != [bos]:
            prompt.insert(0, bos)
        if len(prompt) >= self._context_length:
            raise self._overflow(f"{len(prompt)}")
        if not prompt:
            raise InvalidRequest("the model's chat template made an empty prompt of the messages")
        return prompt

    def _parts(
        self, pairs: Sequence[tuple[str, str]], marks: Sequence[str]
    ) -> list[tuple[str, bool]]:
        """The rendering with placeholders, cut at them: (text or placeholder, is template)."""
        blank = self._template.render(
            [(role, mark) for (role, _), mark in zip(pairs, marks, strict=True)]
        )
        pattern = "|".join(map(re.escape, marks))
        return [(p, p not in marks) for p in re.split(f"({pattern})", blank) if p]

    def _controls(self, tokens: Sequence[int]) -> list[int]:
        return [t for t in tokens if self._tokenizer.is_control(t)]

    def _refuse_what_cannot_fit(self, messages: Sequence[Message]) -> None:
        size = sum(len(m.text.encode("utf-8", "replace")) for m in messages)
        if size >= self._context_length * self._tokenizer.longest:
            raise self._overflow(f"at least {-(-size // self._tokenizer.longest)}")
        if size < self._context_length * _SUSPICIOUS_BYTES_PER_TOKEN:
            return
        at_least = 0
        for message in messages:
            for start in range(0, len(message.text), _SLICE):
                piece = message.text[start : start + _SLICE]
                at_least += max(0, len(self._tokenizer.plain(piece)) - _CUT_COSTS)
                if at_least >= self._context_length:
                    raise self._overflow(f"more than {at_least}")

    def _overflow(self, tokens: str) -> ContextOverflow:
        return ContextOverflow(
            f"the prompt has {tokens} tokens and the model's context is {self._context_length}, "
            "answer included; shorten the prompt or ask a model with a longer context"
        )


def _placeholders(contents: Sequence[str]) -> list[str]:
    """One text for each content, of private-use characters and digits, that is in none of them."""
    nonce = 0
    while any(f"\ue000{nonce}-" in content for content in contents):
        nonce += 1
    return [f"\ue000{nonce}-{number}\ue001" for number in range(len(contents))]

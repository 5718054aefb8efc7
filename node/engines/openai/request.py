"""The body of a chat completion request, in the upstream's dialect. Pure.

Every server takes temperature, top_p and seed. The rest of ``Sampling`` is an extension that each
names its own way; where a server takes one it is always sent, since a server's own default (top-k
40, say) is not what "off" in the request means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mesh.errors import NotServed
from mesh.types import Message, Sampling
from node.engines.openai.options import OpenAiOptions
from node.engines.openai.turns import turns_of

MAX_UPSTREAM_STOPS = 4  # what OpenAI's interface takes; servers differ beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What one kind of server takes beyond the common part: its names for the extensions, "" where
    it has none, and how it continues an assistant's turn."""

    top_k: str = ""
    min_p: str = ""
    repetition_penalty: str = ""
    continues: str = "no"


DIALECTS: dict[str, Dialect] = {
    "openai": Dialect(),
    "vllm": Dialect(
        top_k="top_k",
        min_p="min_p",
        repetition_penalty="repetition_penalty",
        continues="vllm",
    ),
    "sglang": Dialect(
        top_k="top_k",
        min_p="min_p",
        repetition_penalty="repetition_penalty",
        continues="vllm",
    ),
    "llama_server": Dialect(
        top_k="top_k", min_p="min_p", repetition_penalty="repeat_penalty", continues="prefill"
    ),
    "llama_cpp_python": Dialect(top_k="top_k", min_p="min_p", repetition_penalty="repeat_penalty"),
    "ollama": Dialect(),
    "tabbyapi": Dialect(top_k="top_k", min_p="min_p", repetition_penalty="repetition_penalty"),
}


@dataclass(slots=True, kw_only=True)
class Quirks:
    """What the upstream has turned out not to take; kept for the life of the runner."""

    max_tokens_field: str = "max_tokens"
    stream_options: bool = True

    def learn(self, status: int, text: str, fixed: bool) -> bool:
        """Whether a refusal (its HTTP status and text) says something that another try can heed.
        ``fixed``: the name of ``max_tokens`` is the user's choice."""
        if status not in (400, 422):
            return False
        if "stream_options" in text and self.stream_options:
            self.stream_options = False
            return True
        if "max_completion_tokens" in text and self.max_tokens_field == "max_tokens" and not fixed:
            self.max_tokens_field = "max_completion_tokens"
            return True
        return False


def continues(options: OpenAiOptions, server: str) -> str:
    """How an assistant's turn is continued: ``vllm``, ``prefill`` or ``no``."""
    if options.continues != "auto":
        return options.continues
    return DIALECTS[server].continues


def body(
    model: str,
    server: str,
    options: OpenAiOptions,
    messages: Sequence[Message],
    sampling: Sampling,
    delivered_text: str,
) -> dict[str, Any]:
    """All but what ``Quirks`` decide; see ``finished``. Raises ``NotServed`` for a parameter that
    the server has no name for, and for a turn that it cannot continue."""
    turns = [turn for message in messages for turn in turns_of(message)]
    asked: dict[str, Any] = {
        "model": model,
        "messages": turns,
        "stream": True,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    if sampling.seed is not None:
        asked["seed"] = sampling.seed
    asked |= _extensions(server, options, sampling)
    if options.stop == "upstream" and 0 < len(sampling.stop) <= MAX_UPSTREAM_STOPS:
        asked["stop"] = list(sampling.stop)
    if delivered_text:
        turns.append({"role": "assistant", "content": delivered_text})
        match continues(options, server):
            case "vllm":
                asked |= {"continue_final_message": True, "add_generation_prompt": False}
            case "prefill":
                pass
            case _:
                raise NotServed(
                    "the upstream cannot continue an answer that was begun elsewhere; if it can, "
                    "set option continue=vllm or continue=prefill"
                )
    return asked | options.body


def finished(asked: dict[str, Any], quirks: Quirks, max_tokens: int | None) -> dict[str, Any]:
    """``asked`` as it is sent. ``max_tokens``: None leaves the limit to the upstream."""
    sent = dict(asked)
    if max_tokens is not None:
        sent[quirks.max_tokens_field] = max_tokens
    if quirks.stream_options:
        sent["stream_options"] = {"include_usage": True}
    return sent


def _extensions(server: str, options: OpenAiOptions, sampling: Sampling) -> dict[str, Any]:
    dialect = DIALECTS[server]
    found: dict[str, Any] = {}
    for name, given, off in (
        (dialect.top_k, ("top_k", sampling.top_k), 0),
        (dialect.min_p, ("min_p", sampling.min_p), 0.0),
        (dialect.repetition_penalty, ("repetition_penalty", sampling.repetition_penalty), 1.0),
    ):
        ours, value = given
        if name:
            # vLLM and SGLang say "off" with -1; 0 came to mean the same only later.
            off_word = -1 if ours == "top_k" and server in ("vllm", "sglang") else off
            found[name] = off_word if value == off else value
        elif value != off and options.unsupported == "refuse":
            raise NotServed(
                f"the upstream ({server}) has no {ours}; leave it at {off:g}, ask another model, "
                "or have its node drop it (option unsupported=drop)"
            )
    return found

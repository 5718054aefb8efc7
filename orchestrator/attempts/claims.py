"""What a node says of an answer, held against what is known here without it. Pure.

Nodes are asked, not trusted: what can be counted is counted here, and what cannot be is believed
only where it is plausible, or where a second node says the same (``orchestrator/attempts/failover``
asks one). A model whose record tells of no file is of somebody else's server, which counts in its
own way: thoughts that are not delivered, several tokens a piece.
"""

from __future__ import annotations

from dataclasses import replace

from mesh.cleaned import cleaned
from mesh.errors import MeshError, from_code
from mesh.fleet.records import ModelRecord
from mesh.transport.base import Finished, Progress
from mesh.types import FinishReason, NodeId, Sampling, Usage

ERROR_CHARS = 500
PHASE_CHARS = 24
MOST = 2**53  # of any count that a node may tell
# Tokens that a chat template may add to a prompt, beside a few a message.
TEMPLATE_TOKENS = 2048
# Tokens that a runner makes and does not deliver: of a stop string, or of the end of the turn.
UNDELIVERED = 32


def error_of(code: str, message: str, node: NodeId | None = None) -> MeshError:
    """What a node said went wrong."""
    return from_code(cleaned(code, PHASE_CHARS), cleaned(message, ERROR_CHARS), node_id=node)


def counted(end: Finished) -> Finished:
    """With counts that no message or sum chokes on."""
    usage = end.usage
    return replace(
        end,
        usage=replace(
            usage,
            prompt_tokens=_within(usage.prompt_tokens),
            completion_tokens=_within(usage.completion_tokens),
            cached_tokens=_within(usage.cached_tokens),
        ),
    )


def shown(progress: Progress) -> Progress:
    """As a client may see it."""
    return Progress(
        phase=cleaned(progress.phase, PHASE_CHARS),
        done=_within(progress.done),
        total=_within(progress.total),
    )


def ended(reason: FinishReason, delivered: int) -> Finished:
    """An end that is made here: all that was asked for is there."""
    return Finished(reason=reason, usage=Usage(prompt_tokens=0, completion_tokens=delivered))


def doubt(
    end: Finished,
    model: ModelRecord,
    sampling: Sampling,
    *,
    prompt: int,
    delivered: int,
    text: bool,
) -> str:
    """Why the end of an answer is not plausible, "" where it is. ``prompt``: UTF-8 bytes of its
    messages; ``delivered``: pieces of the whole answer, and whether they are any ``text``."""
    most, made = sampling.max_tokens, end.usage.completion_tokens
    asked = "as many tokens as it wants" if most is None else f"{most} tokens"
    elsewhere = not model.file_bytes
    match end.reason:
        case FinishReason.CONTENT_FILTER:
            return ""
        case FinishReason.LENGTH:
            if most is None:
                told = "it said that max_tokens was reached, and none was asked for"
                return "" if elsewhere else told  # another server has limits of its own
            if delivered >= most or (elsewhere and 2 * max(delivered, made) >= most):
                return ""
            return f"it said that max_tokens was reached after {delivered} of {most} tokens"
        case FinishReason.STOP_STRING if not sampling.stop:
            return "it said that a stop string appeared, and none was asked for"
        case FinishReason.CONTEXT if fits(model, prompt=prompt, delivered=delivered):
            return f"it said that its context of {model.context_length} tokens was full"
    if not text and end.reason is not FinishReason.STOP_STRING:
        return f"it ended without a word of {asked}"
    if not elsewhere and made > delivered + UNDELIVERED + sum(map(len, sampling.stop)):
        return f"it said that it made {made} tokens, and {delivered} came"
    return ""


def fits(model: ModelRecord, *, prompt: int, delivered: int) -> bool:
    """Whether a prompt of so many bytes and what was delivered are sure to have room: a token is
    one byte at least."""
    return prompt + delivered + TEMPLATE_TOKENS < model.context_length


def _within(count: int) -> int:
    return max(0, min(MOST, count))

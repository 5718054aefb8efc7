"""A whole answer, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.client.stream import Generation
from mesh.errors import ProtocolError
from mesh.stream import Done
from mesh.types import Decision, FinishReason, RequestId


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All of one answer; ``str(answer)`` is its text. ``decision``: who was asked, and why.
    ``done``: who answered, what it took, and whether it went on elsewhere."""

    text: str
    decision: Decision
    done: Done
    request_id: RequestId

    def __str__(self) -> str:
        return self.text

    @property
    def whole(self) -> bool:
        """Whether the answer came to its own end. What a limit ended is not whole."""
        return not self.cut

    @property
    def cut(self) -> str:
        """What ended it before its end and what to do about that, in one line; "" when it is whole.
        ``done.reason`` is the code for it."""
        tokens = f"{self.done.completion_tokens:,} token"
        tokens += "" if self.done.completion_tokens == 1 else "s"
        match self.done.reason:
            case FinishReason.STOP | FinishReason.STOP_STRING | FinishReason.TOOL_CALLS:
                return ""
            case FinishReason.LENGTH:
                return f"it was cut off at its limit of {tokens}; a larger max_tokens allows more"
            case FinishReason.CONTEXT:
                return (
                    f"it was cut off after {tokens}: the model's context is full; shorten the "
                    "prompt or ask a model with a longer one"
                )
            case FinishReason.CONTENT_FILTER:
                return (
                    f"it was cut off after {tokens}: the server behind the model withheld the rest"
                )


async def whole_answer(generation: Generation) -> Answer:
    """Raises what the answer does, and ``ProtocolError`` for one without its first or last word.
    Whoever stops waiting for it cancels the rest."""
    async with generation:
        text = await generation.text()
    decision, done = generation.decision, generation.done
    if decision is None or done is None:
        raise ProtocolError(
            "the answer came without a decision, or without an end; ask again",
            request_id=generation.request_id,
        )
    return Answer(text=text, decision=decision, done=done, request_id=generation.request_id)

"""What an upstream means by its word for why an answer ends. Pure.

Servers have words of their own beside OpenAI's, and no list has all of them. They are told apart by
what they speak of, so that a word which nobody has seen before is no success when it is about an
error or a limit; one that speaks of neither is the answer's own end, as ``eos`` or ``end_turn``.
"""

from __future__ import annotations

from enum import IntEnum


class Meant(IntEnum):
    """The one that limits more comes first."""

    FAILED = 0
    WITHHELD = 1
    CONTEXT = 2
    CUT = 3
    TOOLS = 4
    END = 5
    NOTHING = 6


# In this order: DeepSeek's "insufficient_system_resource", Zhipu's "network_error" and "sensitive",
# Google's "safety", Mistral's "model_length", Anthropic's "model_context_window_exceeded".
_SPEAKS_OF: tuple[tuple[Meant, tuple[str, ...]], ...] = (
    (Meant.WITHHELD, ("filter", "safety", "sensitive", "recitation", "prohibited", "blocklist")),
    (Meant.WITHHELD, ("spii", "moderation", "guardrail", "flagged")),
    (Meant.CONTEXT, ("context", "model_length")),
    (Meant.FAILED, ("error", "fail", "abort", "cancel", "timeout", "timed_out", "time_out")),
    (Meant.FAILED, ("interrupt", "insufficient", "unavailable", "overload", "malformed")),
    (Meant.CUT, ("length", "max_", "maxtokens", "limit", "exceed", "truncat")),
    (Meant.TOOLS, ("tool", "function_call")),
)


def meant(word: str) -> Meant:
    """``word``: in lower case, "" for none."""
    if not word:
        return Meant.NOTHING
    for kind, parts in _SPEAKS_OF:
        if any(part in word for part in parts):
            return kind
    return Meant.END


def weight(word: str) -> int:
    """Of two reasons with nothing said in between, the one that weighs least counts."""
    return meant(word)

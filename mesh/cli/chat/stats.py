"""A conversation in figures. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median

from mesh.cleaned import cleaned
from mesh.cli.answer import PACED
from mesh.cli.chat.saved import STOPPED, SavedChat, Turn
from mesh.cli.chat.state import Known
from mesh.spans import span
from mesh.types import FinishReason

_READY = ("memo", "exact")  # stages that have the answer themselves


def stats(chat: SavedChat, known: Known) -> list[str]:
    """Lines for a person. Tokens a second only over answers that had a pace."""
    turns = chat.turns
    lines = [f"{_count(len(turns), 'turn')}{f', kept as {chat.name}' if chat.name else ''}"]
    made = sum(turn.completion_tokens for turn in turns)
    lines.append(f"{_count(made, 'token')} answered in {span(sum(t.seconds for t in turns))}")
    if paces := [turn.tokens_per_second for turn in turns if _has_pace(turn)]:
        lines[-1] += f", {median(paces):.0f} tokens/s (median)"
    if firsts := [turn.ttft_ms for turn in turns if turn.ttft_ms]:
        lines.append(f"first token after {span(median(firsts) / 1000)} (median)")
    made_here = [turn for turn in turns if turn.stage not in _READY and turn.prompt_tokens]
    if made_here:
        last = made_here[-1]
        used = last.prompt_tokens + last.completion_tokens
        whole = known.models.get(last.model, 0)
        of = f" of {whole:,}" if whole else ""
        lines.append(f"the conversation is {used:,}{of} tokens long for {cleaned(last.model)}")
    for what, names in (
        ("answered by", (turn.node for turn in turns)),
        ("as", (turn.specialty for turn in turns)),
    ):
        if counted := _counted(names):
            lines.append(f"{what} {counted}")
    resumed = sum(turn.resumes for turn in turns)
    if resumed:
        lines.append(f"went on elsewhere {_count(resumed, 'time')}")
    if stopped := sum(turn.ended == STOPPED for turn in turns):
        lines.append(f"{_count(stopped, 'answer')} stopped by you")
    cut = sum(turn.ended in (FinishReason.LENGTH, FinishReason.CONTEXT) for turn in turns)
    if cut:
        lines.append(f"{_count(cut, 'answer')} cut at a limit")
    return lines


def _has_pace(turn: Turn) -> bool:
    """As of `mesh ask`'s closing line: only what a model made just now, and more than a little."""
    made = turn.stage not in _READY and turn.completion_tokens >= PACED
    return made and turn.tokens_per_second > 0


def _counted(names: Iterable[str]) -> str:
    counts = Counter(cleaned(name, 60) for name in names if name)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} ({number})" for name, number in counts.most_common(8))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

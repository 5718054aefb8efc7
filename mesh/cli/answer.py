"""Shows one answer as it comes: text and a closing line for people, JSON lines for programs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.text import Text

from mesh.cleaned import cleaned, harmless
from mesh.cli.screen import console, json_line, milliseconds, rate
from mesh.errors import MeshError
from mesh.stream import Assigned, Decided, Done, Progress, StreamEvent, Tokens, Waiting
from mesh.types import Decision, FinishReason

PACED = 8  # tokens of an answer that has a pace


async def show_text(events: AsyncIterator[StreamEvent], *, closing: TextIO | None = None) -> None:
    """The answer on standard output; the closing line on ``closing``, by default standard error, so
    that what is piped or kept is the answer alone, and as it is; on a terminal what that would obey
    is shown. Raises what the stream raises."""
    decision: Decision | None = None
    on_terminal = sys.stdout.isatty()
    at_line_start = True
    try:
        async for event in events:
            match event:
                case Decided():
                    decision = event.decision
                case Tokens():
                    text = "".join(piece.text for piece in event.pieces)
                    if text:
                        at_line_start = text.endswith("\n")
                        _write(harmless(text) if on_terminal else text)
                case Done():
                    if not at_line_start:
                        _write("\n")
                        at_line_start = True
                    if decision is not None:
                        screen = console(closing or sys.stderr)
                        line = Text(cleaned(summary(decision, event), 400), style="dim")
                        screen.print(line, soft_wrap=True)
                        if cut := cut_off(event):
                            screen.print(Text(cut, style="yellow"), soft_wrap=True)
                case Waiting():
                    # The sentence stays where it is, so what goes on after the wait joins it.
                    note = Text(f"[{cleaned(event.why)}]", style="dim")
                    if not at_line_start:
                        sys.stderr.write("\n")
                    console(closing or sys.stderr).print(note, soft_wrap=True)
                case Assigned() | Progress():
                    pass
    finally:
        if not at_line_start:  # it broke in mid-sentence: the error gets a line of its own
            _write("\n")


async def show_json(events: AsyncIterator[StreamEvent]) -> None:
    """One JSON object a line: ``decision``, ``token``s, then ``done``. Raises what the stream
    raises; ``error_told`` has a line for it."""
    decided: Decided | None = None
    try:
        async for event in events:
            match event:
                case Decided():
                    decided = event  # printed with its node, once a node has taken it
                case Assigned():
                    if decided is not None:
                        _line(decision_event(decided, event))
                        decided = None
                case Tokens():
                    if decided is not None:  # the router had the answer: no node took it
                        _line(decision_event(decided, None))
                        decided = None
                    for index, piece in enumerate(event.pieces, event.first):
                        _line(
                            {"event": "token", "index": index, "text": piece.text, "id": piece.id}
                        )
                case Done():
                    if decided is not None:
                        _line(decision_event(decided, None))
                        decided = None
                    _line(done_event(event))
                case Waiting():
                    _line({"event": "waiting", "why": event.why, "up_to_s": event.up_to_s})
                case Progress():
                    pass
    except MeshError:
        if decided is not None:
            _line(decision_event(decided, None))
        raise


@contextmanager
def error_told(*, as_json: bool) -> Iterator[None]:
    """An error inside has its line of JSON, as a last one, and is raised."""
    try:
        yield
    except MeshError as error:
        if as_json:
            _line(error_event(error))
        raise


def decision_event(decided: Decided, assigned: Assigned | None) -> dict[str, Any]:
    decision = decided.decision
    return {
        "event": "decision",
        "specialty": decision.specialty,
        "stage": decision.stage,
        "rule": decision.rule,
        "confidence": decision.confidence,
        "node": assigned.node_name if assigned else None,
        "request_id": decided.request_id,
        "node_id": assigned.node if assigned else None,
        "model": assigned.model if assigned else None,
        "micros": decision.micros,
    }


def done_event(done: Done) -> dict[str, Any]:
    return {
        "event": "done",
        "node": done.node_name,
        "tokens": done.completion_tokens,
        "ttft_ms": done.ttft_ms,
        "tokens_per_second": done.tokens_per_second,
        "finish_reason": done.reason,
        "resumed": done.resumed,
        "trace_id": done.trace_id,
        "node_id": done.node,
        "model": done.model,
        "prompt_tokens": done.prompt_tokens,
        "cached_tokens": done.cached_tokens,
        "queue_ms": done.queue_ms,
        "attempts": done.attempts,
        "source": done.source,
        "resumes": [
            {
                "from": resume.from_node,
                "to": resume.to_node,
                "at_token": resume.at_token,
                "gap_ms": resume.gap_ms,
                "reason": resume.reason,
                "from_model": resume.from_model,
                "to_model": resume.to_model,
                "same_weights": resume.same_weights,
                "by_ids": resume.by_ids,
            }
            for resume in done.resumes
        ],
    }


def error_event(error: MeshError) -> dict[str, Any]:
    event: dict[str, Any] = {"event": "error", "code": error.code, "message": error.message}
    if error.retry_after_s is not None:
        event["retry_after_s"] = error.retry_after_s
    return event


def summary(decision: Decision, done: Done) -> str:
    """``math via rules/word_problem (0.97) · node math · first token 12 ms · 240 tokens/s``."""
    parts = [decided_by(decision)]
    if not done.source:
        parts.append(f"node {done.node_name}")
    elif done.node:  # who made it once
        parts.append(f"remembered, from node {done.node_name}")
    else:
        who = "the orchestrator" if done.node_name == "orchestrator" else done.node_name
        parts.append(f"answered by {who} itself, no GPU asked")
    parts.append(f"first token {milliseconds(done.ttft_ms)}")
    if has_pace(done):
        parts.append(f"{rate(done.tokens_per_second)} tokens/s")
    if done.resumed:
        parts.append(resumed_by(done))
    return " · ".join(parts)


def has_pace(done: Done) -> bool:
    """Whether tokens a second say anything: a model made them just now, and more than a few, which
    come as the wire has it."""
    return not done.source and done.completion_tokens >= PACED and done.tokens_per_second > 0


def cut_off(done: Done) -> str:
    """What to say of an answer that is not whole; "" of one that is."""
    match done.reason:
        case FinishReason.STOP | FinishReason.STOP_STRING | FinishReason.TOOL_CALLS:
            return ""
        case FinishReason.LENGTH:
            return (
                f"the answer was cut off at its limit of {done.completion_tokens:,} tokens; "
                "a larger --max-tokens allows more, and without one it runs to its own end"
            )
        case FinishReason.CONTEXT:
            return (
                f"the answer was cut off after {done.completion_tokens:,} tokens: the model's "
                "context is full; shorten the prompt or ask a model with a longer one"
            )
        case _:
            return f"the answer is not whole: {done.reason}"


def resumed_by(done: Done) -> str:
    """``resumed a -> b at token 40 after 210 ms (node_lost)``; the last one of several."""
    if not done.resumes:
        return f"resumed (attempt {done.attempts})"
    last = done.resumes[-1]
    times = f"{len(done.resumes)} times, last " if len(done.resumes) > 1 else ""
    others = [each.to_model for each in done.resumes if each.to_model and not each.same_weights]
    another = f", by another model: {others[-1]}" if others else ""
    return (
        f"resumed {times}{last.from_node} -> {last.to_node} at token {last.at_token} "
        f"after {milliseconds(last.gap_ms)} ({last.reason}){another}"
    )


def decided_by(decision: Decision) -> str:
    rule = f"/{decision.rule}" if decision.rule else ""
    sure = f" ({decision.confidence:.2f})" if decision.stage not in ("requested",) else ""
    return f"{decision.specialty} via {decision.stage}{rule}{sure}"


def _line(event: dict[str, Any]) -> None:
    _write(json_line(event) + "\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

"""How dry runs look: one in full for people, many as a table, either as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec
from rich.text import Text

from mesh.cleaned import cleaned
from mesh.cli.answer import decided_by
from mesh.cli.screen import console, in_lines, json_line, table
from mesh.errors import MeshError
from mesh.stream import Ready, Route
from mesh.types import Decision, Sampling, StageVerdict

# Of 80 columns; what a wider screen has more goes to prompts and reasons.
PROMPT_WIDTH, STAGE_WIDTH = 30, 23
NODE_WIDTH, MODEL_WIDTH = 18, 22
READY_CHARACTERS = 400  # of an answer that is only mentioned


def as_data(found: Route) -> dict[str, Any]:
    """The ``--json`` form."""
    data = msgspec.to_builtins(found)
    decision = data["decision"]
    return {
        "decision": {k: v for k, v in decision.items() if k not in ("alternatives", "manner")},
        "alternatives": decision["alternatives"],
        "sampling": None if decision["manner"] is None else decision["manner"]["sampling"],
        "system": None if decision["manner"] is None else decision["manner"]["system"],
        "candidates": data["candidates"],
        "ready": data["ready"],
        "prior": data["prior"],
    }


def line_of(number: int, found: Route | MeshError, *, candidates: bool) -> str:
    """One line of ``--json`` for many: the result of line ``number``."""
    data: dict[str, Any] = {"line": number}
    if isinstance(found, MeshError):
        data["error"] = {"code": found.code, "message": found.message}
    else:
        data |= as_data(found)
        if not candidates:
            del data["candidates"]
    return json_line(data)


def show(found: Route) -> None:
    """Who decided and why; then what is ready, or who would be asked."""
    screen = console()
    ready = found.ready
    found = in_lines(found)
    decision = found.decision
    version = f"  rules {decision.rules_version[:12]}" if decision.rules_version else ""
    if decision.stage == "requested":
        screen.print(Text(f"{decision.specialty}, as requested", style="bold"))
    else:
        took = f"  in {decision.micros:.0f} µs{version}"
        screen.print(Text.assemble((decided_by(decision), "bold"), (took, "dim")))
    if found.prior is not None:
        screen.print(Text(f"the conversation so far: {found.prior}"))
    if decision.manner is not None:
        screen.print(Text(_drawn(decision.manner.sampling)))
        if decision.manner.system:
            screen.print(Text(f"system text: {decision.manner.system}"))
    if decision.verdicts:
        screen.print()
        stages = table(
            *("STAGE", "SAYS", "SURE", "WHY", "µs"),
            right=("SURE", "µs"),
            fixed=("STAGE", "SAYS", "SURE", "µs"),
        )
        for verdict in decision.verdicts:
            stages.add_row(
                Text(verdict.stage),
                Text(verdict.specialty or "abstains", style="" if verdict.specialty else "dim"),
                f"{verdict.confidence:.2f}" if verdict.specialty else "",
                Text(_why(verdict, decision), style="" if verdict.specialty else "dim"),
                f"{verdict.micros:.0f}",
            )
        screen.print(stages)
    screen.print()
    if others := [a for a in decision.alternatives if a.specialty != decision.specialty]:
        listed = ", ".join(f"{other.specialty} {other.probability:.2f}" for other in others)
        screen.print(Text(f"otherwise: {listed}\n"))
    if found.ready is not None:
        _show_ready(found.ready, "" if ready is None else ready.text)
    _show_candidates(found)


def _drawn(sampling: Sampling) -> str:
    """How an answer is drawn, what is switched off left out."""
    s = sampling
    most = "to its end" if s.max_tokens is None else f"at most {s.max_tokens:,} tokens"
    said = [f"temperature {s.temperature:g}" if s.temperature else "temperature 0 (greedy)"]
    if s.temperature:  # else there is nothing to choose from
        said += [f"top_k {s.top_k}"] if s.top_k else []
        said += [f"top_p {s.top_p:g}"] if s.top_p < 1 else []
        said += [f"min_p {s.min_p:g}"] if s.min_p else []
    if s.repetition_penalty != 1:
        said.append(f"repetition_penalty {s.repetition_penalty:g}")
    return f"drawn with {', '.join(said)}; {most}"


def _show_ready(ready: Ready, text: str) -> None:
    screen = console()
    by = f", made by {ready.node_name}" if ready.node_name else ""
    text = text.strip()
    if len(text) > READY_CHARACTERS:
        text = text[: READY_CHARACTERS - 1] + "…"
    screen.print(Text(f"the answer is there already ({ready.source}{by}), no node is asked:"))
    screen.print(Text(text, style="bold"))


def _show_candidates(found: Route) -> None:
    screen = console()
    if not found.candidates:
        if found.ready is None:
            screen.print(Text("no node is known that could take it"))
        return
    if found.ready is not None:
        screen.print(Text("\nwithout it:"))
    wide = max(0, screen.width - 80) // 3
    ranked = table(
        *("RANK", "NODE", "MODEL", "WHY"), right=("RANK",), fixed=("RANK", "NODE", "MODEL")
    )
    rank = 0
    for candidate in found.candidates:
        rank += candidate.eligible
        ranked.add_row(
            str(rank) if candidate.eligible else "-",
            Text(_shortened(candidate.node_name, NODE_WIDTH + wide)),
            Text(_shortened(candidate.model, MODEL_WIDTH + wide)),
            Text(candidate.reason, style="" if candidate.eligible else "dim"),
        )
    screen.print(ranked)
    if not rank and found.ready is None:
        screen.print(Text("no node can take it now", style="yellow"))


def _why(verdict: StageVerdict, decision: Decision) -> str:
    """The rule, and the note where it says more; of who decided without a word, its lead."""
    rule, note = verdict.rule or "", verdict.note
    others = [a for a in decision.alternatives if a.specialty != verdict.specialty]
    if not note and not rule and verdict.stage == decision.stage and others:
        lead = verdict.confidence - others[0].probability
        note = f"leads '{others[0].specialty}' by {lead:.2f}"
    if note == f"fired: {rule}":
        note = ""
    return ": ".join(part for part in (rule, note) if part)


def _shortened(name: str, width: int) -> str:
    """Both ends of a name too long for its column: files of one family differ at either."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[-tail:]}"


@dataclass(slots=True)
class RouteTotals:
    """What many dry runs came to. Bounded by the number of specialties and stages."""

    prompts: int = 0
    errors: int = 0
    micros: float = 0.0
    specialties: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)

    def add(self, found: Route | MeshError) -> None:
        self.prompts += 1
        if isinstance(found, MeshError):
            self.errors += 1
            return
        self.micros += found.decision.micros
        self.specialties[found.decision.specialty] += 1
        self.stages[found.decision.stage] += 1

    def lines(self) -> tuple[str, ...]:
        """The summary at the end."""
        decided = self.prompts - self.errors
        noun = "prompt" if self.prompts == 1 else "prompts"
        head = f"{self.prompts:,} {noun}"
        if self.errors:
            head += f" · {self.errors:,} with an error"
        if decided:
            head += f" · {self.micros / decided:.0f} µs each"
        return (
            head,
            *(
                f"{name}: {_shares(counts, decided)}"
                for name, counts in (("specialties", self.specialties), ("stages", self.stages))
                if counts
            ),
        )


class RouteRows:
    """Many results as a table whose rows come as they are known, so that thousands need no more
    room than one. Widths are fixed for that."""

    def __init__(self) -> None:
        self._screen = console()
        self._prompt = PROMPT_WIDTH + max(-15, self._screen.width - 80)
        self._head = False

    def add(self, number: int, prompt: str, found: Route | MeshError) -> None:
        if not self._head:
            self._head = True
            self._print(f"{'LINE':>5}", "PROMPT", "SAYS", "SURE", "STAGE/RULE", style="bold")
        if isinstance(found, MeshError):
            self._print(f"{number:>5}", prompt, "error", "", found.message, style="red")
            return
        decision = found.decision
        sure = "" if decision.stage in ("requested", "fallback") else f"{decision.confidence:.2f}"
        by = f"{decision.stage}/{decision.rule}" if decision.rule else decision.stage
        self._print(f"{number:>5}", prompt, decision.specialty, sure, by)

    def finish(self, tally: RouteTotals) -> None:
        for line in ("", *tally.lines()) if self._head else tally.lines():
            self._screen.print(Text(line))

    def _print(
        self, number: str, prompt: str, says: str, sure: str, by: str, style: str = ""
    ) -> None:
        row = Text(style=style)
        for text, width in (
            (number, 5),
            (prompt, self._prompt),
            (says, 10),
            (sure, 4),
            (by, STAGE_WIDTH),
        ):
            cell = Text(cleaned(text) if width != 5 else text)
            cell.truncate(width, overflow="ellipsis", pad=True)
            row.append(cell)
            row.append("  ")
        row.rstrip()
        self._screen.print(row, no_wrap=True, overflow="crop")


def _shares(counts: Counter[str], whole: int) -> str:
    return ", ".join(
        f"{name} {count:,} ({100 * count / whole:.0f}%)" for name, count in counts.most_common()
    )

"""The check's report for people: findings first, then figures."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from mesh.cleaned import cleaned
from mesh.cli.screen import table
from orchestrator.rules.check import Figures, Report, RuleFigures
from orchestrator.rules.labelled import prompts
from orchestrator.rules.statics import Finding, FindingKind

# Of each kind; all are in the JSON.
SHOWN_FINDINGS = 10
SHOWN_RULES = 200

_STYLES = {FindingKind.ERROR: "red", FindingKind.CONTRADICTION: "red"}


def show(report: Report, where: str, screen: Console) -> None:
    screen.print(Text(f"{where}: version {report.version}, {_size(report)}"))
    for kind in FindingKind:
        _show_kind(kind, [each for each in report.findings if each.kind is kind], screen)
    if report.overall is not None:
        screen.print()
        screen.print(_specialties(report))
        screen.print()
        _show_rules(report.figures, screen)
    others = len(report.findings) - report.errors
    verdict = "nothing found"
    if report.findings:
        verdict = f"{_count(report.errors, 'error')}, {_count(others, 'remark')}"
    elif not report.rules:
        verdict = "no rules: every prompt is left to the other stages"
    screen.print(Text(verdict, style="red" if report.errors else "green"))


def _size(report: Report) -> str:
    checked = f", on {prompts(report.prompts)}" if report.prompts else ""
    return f"{_count(report.rules, 'rule')}, {_count(report.patterns, 'pattern')}{checked}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _show_kind(kind: FindingKind, found: Sequence[Finding], screen: Console) -> None:
    for each in found[:SHOWN_FINDINGS]:
        named = f"'{each.rule}' " if each.rule else ""
        line = Text.assemble(
            (f"{kind}: ", _STYLES.get(kind, "yellow")), cleaned(f"{named}{each.message}", 1_000)
        )
        screen.print(line)
        if each.example:
            screen.print(Text(f"  e.g. {_short(each.example)}", style="dim"))
    if len(found) > SHOWN_FINDINGS:
        screen.print(Text(f"{kind}: and {len(found) - SHOWN_FINDINGS} more; --json has them all"))


def _short(text: str) -> str:
    return cleaned(text, 70)


def _specialties(report: Report) -> object:
    made = table(
        *("SPECIALTY", "LABELLED", "DECIDED", "RIGHT", "PRECISION", "RECALL"),
        right=("LABELLED", "DECIDED", "RIGHT", "PRECISION", "RECALL"),
    )
    for each in (*report.specialties, *((report.overall,) if report.overall else ())):
        made.add_row(*_specialty_row(each))
    return made


def _specialty_row(each: Figures) -> tuple[str, ...]:
    counts = (f"{number:,}" for number in (each.labelled, each.decided, each.right))
    return (each.specialty, *counts, share(each.precision), share(each.recall))


def _show_rules(figures: Sequence[RuleFigures], screen: Console) -> None:
    numbers = ("FIRED", "COUNTS", "NEEDED", "PREC", "LEAST", "COVERS")
    made = table("RULE", "FOR", *numbers, right=numbers, fixed=("FOR", *numbers))
    for each in figures[:SHOWN_RULES]:
        specialty = f"not {each.specialty}" if each.role == "veto" else each.specialty or each.role
        marker = each.role == "marker"
        made.add_row(
            Text(cleaned(each.name)),
            Text(specialty),
            f"{each.fired:,}",
            "" if marker else f"{each.counted:,}",
            f"{each.needed:,}",
            share(each.precision),
            share(each.lower),
            "" if marker else share(each.coverage),
        )
    screen.print(made)
    if len(figures) > SHOWN_RULES:
        screen.print(Text(f"and {len(figures) - SHOWN_RULES:,} more rules; --json has them all"))


def share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"

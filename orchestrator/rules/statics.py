"""What is wrong with a set of rules whatever the prompts: found in the rules alone.

One rule *includes* another when it looks at the same part with the same flags and has all of the
other's patterns, letter by letter: whenever the other matches, it does too. Patterns that mean the
same and are written otherwise are not seen here; on a labelled file they show all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import prod

from mesh.types import Specialty
from orchestrator.router.rule_file import Rule, RuleSet

_Pattern = tuple[str, str, bool, bool, bool, bool]


class FindingKind(StrEnum):
    ERROR = "error"  # the file, a key or a pattern is wrong
    CONTRADICTION = "contradiction"  # a rule can never count, or never win
    IDENTICAL = "identical"
    NEVER_FIRES = "never fires"
    NEVER_COUNTS = "never counts"
    SHADOWED = "shadowed"
    CONFLICT = "conflict"
    WEAK = "weak"


ERRORS = frozenset({FindingKind.ERROR, FindingKind.CONTRADICTION})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``rule``: whom it is about, "" for the file. ``other``: the second rule, where there is one.
    ``count``: prompts of the labelled file that show it, ``example`` one of them."""

    kind: FindingKind
    message: str
    rule: str = ""
    other: str = ""
    count: int = 0
    example: str = ""

    @property
    def is_error(self) -> bool:
        return self.kind in ERRORS


def findings(rules: RuleSet) -> list[Finding]:
    """All of them, in file order. Linear in the number of patterns and companions."""
    return [*_contradictions(rules), *_identical(rules), *_weak(rules)]


def _contradictions(rules: RuleSet) -> Iterator[Finding]:
    by_name = {rule.name: rule for rule in rules.rules}
    vetoes: dict[tuple[Specialty, _Pattern], list[Rule]] = defaultdict(list)
    for rule in rules.rules:
        if rule.veto and rule.specialty is not None:
            for pattern in _patterns(rule):
                vetoes[rule.specialty, pattern].append(rule)
    for rule in rules.rules:
        if rule.specialty is None:
            continue
        excluded = [by_name[name] for name in rule.excludes]
        required = [by_name[name] for name in rule.requires]
        for other in excluded:
            if _includes(other, rule):
                yield _contradiction(
                    rule, other, "excludes '{}', which matches whenever it does: it can never count"
                )
            for needed in required:
                if _includes(other, needed):
                    yield _contradiction(
                        rule,
                        other,
                        f"requires '{needed.name}' and excludes '{{}}', which matches whenever "
                        "that does: it can never count",
                    )
        if rule.veto:
            continue
        for other in _always_vetoing(rule, required, vetoes):
            yield _contradiction(
                rule, other, "is vetoed by '{}' whenever it counts: it can never win"
            )


def _always_vetoing(
    rule: Rule, required: list[Rule], vetoes: dict[tuple[Specialty, _Pattern], list[Rule]]
) -> Iterator[Rule]:
    """Vetoes of the rule's own specialty that count whenever the rule does."""
    if rule.specialty is None:
        return
    seen: set[str] = set()
    first = next(iter(_patterns(rule)))
    for veto in (
        *vetoes.get((rule.specialty, first), ()),
        *(each for each in required if each.veto and each.specialty == rule.specialty),
    ):
        matches = veto in required or _includes(veto, rule)
        counts = {*veto.requires} <= {rule.name, *rule.requires} and (
            {*veto.excludes} <= {*rule.excludes}
        )
        if matches and counts and veto.name not in seen:
            seen.add(veto.name)
            yield veto


def _identical(rules: RuleSet) -> Iterator[Finding]:
    """Two asserting rules, or two vetoes, with a pattern in common. Markers may repeat anything."""
    first: dict[tuple[bool, _Pattern], Rule] = {}
    told: set[tuple[str, str]] = set()
    for rule in rules.rules:
        if rule.specialty is None:
            continue
        for pattern in _patterns(rule):
            other = first.setdefault((rule.veto, pattern), rule)
            if other is rule or (other.name, rule.name) in told:
                continue
            if rule.veto and other.specialty != rule.specialty:
                continue  # "no math" and "no knowledge" for the same words
            told.add((other.name, rule.name))
            if other.specialty == rule.specialty:
                same_companions = {*rule.requires} == {*other.requires} and (
                    {*rule.excludes} == {*other.excludes}
                )
                if not same_companions:
                    continue  # two grades of certainty for one pattern
                kind, end = FindingKind.IDENTICAL, f"as '{other.name}' has it already; drop one"
            else:
                if {*rule.requires} & {*other.excludes} or {*other.requires} & {*rule.excludes}:
                    continue  # what the one requires the other excludes
                kind = FindingKind.CONFLICT
                end = f"for '{rule.specialty}', and '{other.name}' for '{other.specialty}'"
            yield Finding(
                kind=kind, rule=rule.name, other=other.name, message=f"has {_cut(pattern[0])} {end}"
            )


def _weak(rules: RuleSet) -> Iterator[Finding]:
    weights: dict[Specialty, list[float]] = defaultdict(list)
    for rule in rules.rules:
        if rule.specialty is not None and not rule.veto:
            weights[rule.specialty].append(rule.weight)
            if rule.weight == 0.0:
                yield Finding(
                    kind=FindingKind.WEAK,
                    rule=rule.name,
                    message="has weight 0, which adds nothing",
                )
    for specialty, all_of_them in weights.items():
        best = 1.0 - prod(1.0 - weight for weight in all_of_them)
        if best < rules.threshold:
            yield Finding(
                kind=FindingKind.WEAK,
                message=f"'{specialty}' can never win: all its rules together reach {best:.2f}, "
                f"below the threshold {rules.threshold:.2f}",
            )


def _contradiction(rule: Rule, other: Rule, message: str) -> Finding:
    return Finding(
        kind=FindingKind.CONTRADICTION,
        rule=rule.name,
        other=other.name,
        message=message.format(other.name),
    )


def _includes(larger: Rule, smaller: Rule) -> bool:
    return set(_patterns(smaller)) <= set(_patterns(larger))


def _patterns(rule: Rule) -> list[_Pattern]:
    flags = (str(rule.part), rule.caseless, rule.multiline, rule.dotall, rule.unicode)
    return [(pattern, *flags) for pattern in rule.patterns]


def _cut(pattern: str) -> str:
    return f"'{pattern}'" if len(pattern) <= 50 else f"'{pattern[:47]}...'"

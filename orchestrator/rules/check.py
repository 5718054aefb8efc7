"""Checks a rules file: every error by name, and on labelled prompts what each rule is worth.

All figures follow from which rules match a prompt, so prompts that the same rules match are looked
at once: a million prompts cost little more than their scans.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mesh.errors import RuleError
from orchestrator.router.base import Verdict
from orchestrator.router.compiled import CompiledRules
from orchestrator.router.rule_file import Rule, RulePart, RuleSet, read
from orchestrator.router.rules import RulesStage, engine_problems
from orchestrator.rules.labelled import Labelled, example, features, lower_bound, prompts
from orchestrator.rules.statics import Finding, FindingKind, findings

# A rule that fired once or twice is in another's shadow by chance.
LEAST_SHADOWED = 3
# Of the rules that count on one prompt so many are held against each other; pairs grow with the
# square, and a prompt that more rules count on is about everything.
PAIRED = 100

_Fired = frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFigures:
    """One rule on the labelled prompts. ``fired``: its patterns matched; ``counted``: so did its
    companions; ``decided``: the decision names it; ``needed``: decisions that would be other ones
    had it not matched.

    ``right`` of ``counted``: the label is its specialty (a veto: is not). ``lower``: of the
    precision's 95% interval. None for markers, and where nothing counted.
    """

    name: str
    role: str
    specialty: str | None
    fired: int
    counted: int
    decided: int
    needed: int
    right: int
    precision: float | None
    lower: float | None
    coverage: float
    wrong_example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """``labelled`` prompts of a specialty (or of all), of which it was ``decided`` for so many in
    all, ``right``ly in so many."""

    specialty: str
    labelled: int
    decided: int
    right: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``overall`` and what follows are empty without labelled prompts."""

    version: str
    rules: int
    patterns: int
    findings: tuple[Finding, ...] = ()
    prompts: int = 0
    coverage: float | None = None
    overall: Figures | None = None
    specialties: tuple[Figures, ...] = ()
    figures: tuple[RuleFigures, ...] = ()

    @property
    def errors(self) -> int:
        return sum(each.is_error for each in self.findings)


def check(
    content: bytes, rows: Sequence[Labelled] = (), cache: CompiledRules | None = None
) -> Report:
    """The whole check; never raises for what is in the file. Compiles it, blocking."""
    rules, problems = read(content)
    stage: RulesStage | None = None
    if problems:
        problems += engine_problems(rules, numbered=False)
    else:
        try:
            stage = RulesStage(rules, cache=cache)
        except RuleError as error:
            # It names five at most, and here all are wanted.
            problems = engine_problems(rules) or [error.message]
    if stage is None:
        errors = tuple(Finding(kind=FindingKind.ERROR, message=problem) for problem in problems)
        return _bare(rules, errors)
    return _measured(stage, rows, tuple(findings(rules)))


def measure(rules: RuleSet, rows: Sequence[Labelled], cache: CompiledRules | None = None) -> Report:
    """Figures of a rule set that is in memory. Raises ``RuleError``."""
    return _measured(RulesStage(rules, cache=cache), rows, ())


def _bare(rules: RuleSet, found: tuple[Finding, ...]) -> Report:
    patterns = sum(len(rule.patterns) for rule in rules.rules)
    return Report(version=rules.version, rules=len(rules.rules), patterns=patterns, findings=found)


def _measured(stage: RulesStage, rows: Sequence[Labelled], found: tuple[Finding, ...]) -> Report:
    if not rows:
        return _bare(stage.rules, found)
    measured = _Measured(stage, rows)
    overall = measured.overall()
    return replace(
        _bare(stage.rules, (*found, *measured.findings())),
        prompts=len(rows),
        coverage=overall.decided / len(rows),
        overall=overall,
        specialties=measured.specialties(),
        figures=measured.figures(),
    )


@dataclass(slots=True)
class _Tally:
    fired: int = 0
    counted: int = 0
    decided: int = 0
    needed: int = 0
    right: int = 0
    wrong_example: str = ""


@dataclass(slots=True)
class _Pair:
    both: int = 0
    abstained: int = 0
    right: int = 0
    example: str = ""


@dataclass(slots=True)
class _Specialty:
    labelled: int = 0
    decided: int = 0
    right: int = 0


@dataclass(slots=True)
class _Group:
    """Prompts that the same rules match, by label, with one example each."""

    labels: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)


class _Measured:
    """The figures of one rule set on labelled prompts."""

    def __init__(self, stage: RulesStage, rows: Sequence[Labelled]) -> None:
        self._stage = stage
        self._rules = stage.rules.rules
        self._tallies = [_Tally() for _ in self._rules]
        self._shared: dict[tuple[int, int], int] = Counter()
        self._conflicts: dict[tuple[int, int], _Pair] = defaultdict(_Pair)
        self._specialties: dict[str, _Specialty] = defaultdict(_Specialty)
        groups: dict[_Fired, _Group] = defaultdict(_Group)
        for row in rows:
            group = groups[frozenset(stage.fired(features(row.prompt)))]
            group.labels[row.label] += 1
            group.examples.setdefault(row.label, row.prompt)
        for fired, group in groups.items():
            self._add(fired, group)

    def _add(self, fired: _Fired, group: _Group) -> None:
        total = group.labels.total()
        said = self._stage.weigh(fired)
        specialty = said.specialty if isinstance(said, Verdict) else None
        for label, number in group.labels.items():
            self._specialties[label].labelled += number
        if specialty is not None:
            of = self._specialties[specialty]
            of.decided += total
            of.right += group.labels[specialty]
        for number in fired:
            tally = self._tallies[number]
            tally.fired += total
            without = self._stage.weigh(fired - {number})
            if (without.specialty if isinstance(without, Verdict) else None) != specialty:
                tally.needed += total
        counting = self._stage.counting(fired)
        for number in counting:
            self._count(number, group, total)
            if isinstance(said, Verdict) and said.rule == self._rules[number].name:
                self._tallies[number].decided += total
        self._pairs(counting, group, total, specialty)

    def _count(self, number: int, group: _Group, total: int) -> None:
        tally, rule = self._tallies[number], self._rules[number]
        own = group.labels[str(rule.specialty)]
        tally.counted += total
        tally.right += total - own if rule.veto else own
        if not tally.wrong_example:
            wrong = (label for label in group.labels if (label == rule.specialty) is rule.veto)
            if (label := next(wrong, None)) is not None:
                tally.wrong_example = example(group.examples[label])

    def _pairs(
        self, counting: Sequence[int], group: _Group, total: int, decided: str | None
    ) -> None:
        rules = self._rules
        counting = counting[:PAIRED]
        vetoed = {rules[number].specialty for number in counting if rules[number].veto}
        for at, number in enumerate(counting):
            for other in counting[at + 1 :]:
                a, b = rules[number], rules[other]
                if a.specialty == b.specialty:
                    self._shared[number, other] += total
                elif not (a.veto or b.veto or a.specialty in vetoed or b.specialty in vetoed):
                    pair = self._conflicts[number, other]
                    pair.both += total
                    pair.abstained += total if decided is None else 0
                    pair.right += group.labels[decided] if decided is not None else 0
                    pair.example = pair.example or example(next(iter(group.examples.values())))

    def findings(self) -> list[Finding]:
        return [*self._idle(), *self._shadowed(), *self._in_conflict()]

    def _idle(self) -> list[Finding]:
        found: list[Finding] = []
        for rule, tally in zip(self._rules, self._tallies, strict=True):
            if rule.part is RulePart.SYSTEM:
                continue  # labelled prompts have no system text
            if not tally.fired:
                kind, message = FindingKind.NEVER_FIRES, "matches none of the labelled prompts"
            elif not tally.counted and rule.specialty is not None:
                kind = FindingKind.NEVER_COUNTS
                message = f"matches {prompts(tally.fired)}, and its companions let it count in none"
            else:
                continue
            found.append(Finding(kind=kind, rule=rule.name, message=message, count=tally.fired))
        return found

    def _shadowed(self) -> list[Finding]:
        found: list[Finding] = []
        told: set[int] = set()
        for (first, second), both in sorted(self._shared.items()):
            # Of two that always fire together only the later one is reported.
            for number, other in ((second, first), (first, second)):
                rule, larger, tally = (
                    self._rules[number],
                    self._rules[other],
                    self._tallies[number],
                )
                if (
                    number not in told
                    and other not in told
                    and both == tally.counted >= LEAST_SHADOWED
                    and rule.veto is larger.veto
                    and larger.weight >= rule.weight
                ):
                    told.add(number)
                    found.append(_shadow(rule, larger, tally))
        return found

    def _in_conflict(self) -> list[Finding]:
        ranked = sorted(self._conflicts.items(), key=lambda item: -item[1].both)
        return [
            Finding(
                kind=FindingKind.CONFLICT,
                rule=self._rules[first].name,
                other=self._rules[second].name,
                message=f"({self._rules[first].specialty}) and '{self._rules[second].name}' "
                f"({self._rules[second].specialty}) in {prompts(pair.both)}: {pair.right} decided "
                f"rightly, {pair.both - pair.right - pair.abstained} wrongly, "
                f"{pair.abstained} left open",
                count=pair.both,
                example=pair.example,
            )
            for (first, second), pair in ranked
        ]

    def overall(self) -> Figures:
        every = self._specialties.values()
        return _figures(
            "all",
            sum(each.labelled for each in every),
            sum(each.decided for each in every),
            sum(each.right for each in every),
        )

    def specialties(self) -> tuple[Figures, ...]:
        return tuple(
            _figures(name, each.labelled, each.decided, each.right)
            for name, each in sorted(self._specialties.items())
        )

    def figures(self) -> tuple[RuleFigures, ...]:
        number = self.overall().labelled
        return tuple(
            _rule_figures(rule, tally, number)
            for rule, tally in zip(self._rules, self._tallies, strict=True)
        )


def _shadow(rule: Rule, larger: Rule, tally: _Tally) -> Finding:
    needed = f", though in {prompts(tally.needed)} it takes both" if tally.needed else ""
    return Finding(
        kind=FindingKind.SHADOWED,
        rule=rule.name,
        other=larger.name,
        message=f"whenever it counts ({prompts(tally.counted)}), so does '{larger.name}'{needed}",
        count=tally.counted,
    )


def _figures(specialty: str, labelled: int, decided: int, right: int) -> Figures:
    return Figures(
        specialty=specialty,
        labelled=labelled,
        decided=decided,
        right=right,
        precision=right / decided if decided else None,
        recall=right / labelled if labelled else None,
    )


def _rule_figures(rule: Rule, tally: _Tally, number: int) -> RuleFigures:
    counts = tally.counted > 0 and rule.specialty is not None
    return RuleFigures(
        name=rule.name,
        role="marker" if rule.specialty is None else "veto" if rule.veto else "rule",
        specialty=rule.specialty,
        fired=tally.fired,
        counted=tally.counted,
        decided=tally.decided,
        needed=tally.needed,
        right=tally.right,
        precision=tally.right / tally.counted if counts else None,
        lower=lower_bound(tally.right, tally.counted) if counts else None,
        coverage=tally.counted / number if number else 0.0,
        wrong_example=tally.wrong_example,
    )

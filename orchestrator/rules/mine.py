"""Proposes rules from what the slower stages decided: phrases that tell a specialty, and that no
rule covers yet. A person reads, changes and accepts them; nothing is written to a rules file.

Method. Every logged decision is a prompt with a label: the stage's word, which is itself not always
right. Those of the rules and of the exact tools count too, as counter-examples. The log is split in
two by a checksum of the prompt. On the one half phrases are chosen, greedily: of those that are
precise enough there, always the one that covers the most prompts that nothing covers yet, so that
proposals do not repeat one another. What is chosen among thousands looks better than it is; the
other half, which had no say, shows by how much, and a phrase that fails there is left out. All
figures shown are counted by the engine that runs the rules, bounds are of 95% intervals (Wilson).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import floor
from zlib import crc32

from mesh.types import SPECIALTY_PATTERN, Specialty
from orchestrator.router.base import Verdict
from orchestrator.router.compiled import CompiledRules
from orchestrator.router.rule_file import MAX_NAME_CHARS, MAX_RULES, Rule, RuleSet
from orchestrator.router.rules import RulesStage
from orchestrator.rules.check import Figures, measure
from orchestrator.rules.decision_log import LoggedDecision
from orchestrator.rules.labelled import Labelled, example, features, lower_bound
from orchestrator.rules.phrases import (
    GAP,
    Phrase,
    frequent_phrases,
    frequent_words,
    name_of,
    pattern_of,
    phrases_of,
    words_of,
)

SLOWER_STAGES = ("classifier", "embedding", "judge")
_ALSO_LABELS = ("rules", "exact")
_CANDIDATES = 4000  # a specialty: its phrases that are right most often
_ONE_IN = 2500
_EXAMPLES = 3
_HIGHEST_WEIGHT = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """``stages``: whose decisions are mined; ``confidence``: theirs, at least. ``precision``: of a
    proposal, at least, on each half; ``lower``: its lower bound on the whole log, at least.
    ``support``: prompts that a proposal covers and nothing else does. ``most``: proposals."""

    stages: tuple[str, ...] = SLOWER_STAGES
    confidence: float = 0.8
    precision: float = 0.95
    lower: float = 0.75
    support: int = 10
    most: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionCount:
    """``right`` of ``made``; ``lower``: of the precision's 95% interval."""

    made: int
    right: int

    @property
    def precision(self) -> float | None:
        return self.right / self.made if self.made else None

    @property
    def lower(self) -> float:
        return lower_bound(self.right, self.made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """``new``: logged prompts that no rule decided and no proposal before it covers. ``logged``: on
    the whole log, ``held_out``: on the half that it was not chosen on. ``data``: on labelled
    prompts, where they were given."""

    rule: Rule
    new: int
    logged: PrecisionCount
    held_out: PrecisionCount
    data: PrecisionCount | None = None
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """``decisions``: labelled ones in the log; ``open``: those to be covered. ``before`` and
    ``after``: the rules on the labelled prompts, without the proposals and with them."""

    decisions: int
    open: int
    proposals: tuple[Proposal, ...] = ()
    before: Figures | None = None
    after: Figures | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    prompt: str
    label: str
    is_open: bool
    chooses: bool  # in the half on which phrases are chosen


@dataclass(frozen=True, slots=True)
class _Masks:
    """Sets of rows as bits of an integer: row n is bit n."""

    chooses: int
    open: int
    labels: dict[str, int]


def mine(
    decisions: Sequence[LoggedDecision],
    rules: RuleSet,
    wishes: Wishes,
    data: Sequence[Labelled] = (),
    cache: CompiledRules | None = None,
) -> Mined:
    """Takes about 0.5 ms a decision, and some hundred MB for 50,000. Raises ``RuleError`` when the
    engine refuses ``rules``."""
    rows = _rows(decisions, RulesStage(rules, cache=cache), wishes)
    found = Mined(decisions=len(rows), open=sum(row.is_open for row in rows))
    chosen = list(_choose(rows, wishes))
    taken = {rule.name for rule in rules.rules}
    drafts = tuple(_rule(specialty, phrase, taken) for specialty, phrase in chosen)
    proposals = _judged(drafts, rows, wishes)
    if not data:
        return replace(found, proposals=proposals)
    with_data, before, after = _on_data(rules, proposals, data)
    return replace(found, proposals=with_data, before=before, after=after)


def _rows(decisions: Sequence[LoggedDecision], stage: RulesStage, wishes: Wishes) -> list[_Row]:
    rows: list[_Row] = []
    for each in decisions:
        slower = each.stage in wishes.stages and each.confidence >= wishes.confidence
        if not (slower or each.stage in _ALSO_LABELS):
            continue
        if not SPECIALTY_PATTERN.fullmatch(each.specialty):
            continue
        covered = isinstance(stage.decide(features(each.prompt)), Verdict)
        half = crc32(each.prompt.encode("utf-8", "replace")) % 2 == 0
        rows.append(_Row(each.prompt, each.specialty, slower and not covered, half))
    return rows


def _choose(rows: Sequence[_Row], wishes: Wishes) -> Iterator[tuple[Specialty, Phrase]]:
    # Of the half. In a large log rarer phrases are many, and none of them is worth a rule.
    least = max(2, wishes.support // 2, len(rows) // _ONE_IN)
    words = [words_of(row.prompt) for row in rows]
    told = [each for each, row in zip(words, rows, strict=True) if row.is_open and row.chooses]
    frequent = frequent_words(told, least)
    candidates = frequent_phrases(told, frequent, least)
    matched: dict[Phrase, list[int]] = defaultdict(list)
    for number, each in enumerate(words):
        for phrase in phrases_of(each, frequent):
            if phrase in candidates:
                matched[phrase].append(number)
    masks = _masks(rows)
    bits = {phrase: _bits(numbers, len(rows)) for phrase, numbers in matched.items()}
    covered = 0
    chosen: list[tuple[int, Specialty, Phrase]] = []
    for label, of_label in masks.labels.items():
        usable = _usable(bits, masks, of_label, wishes)
        for phrase, mask in _greedy(usable, masks, of_label & masks.open, least):
            new = (mask & of_label & masks.open & ~covered).bit_count()
            covered |= mask & of_label & masks.open
            chosen.append((new, Specialty(label), phrase))
    chosen.sort(key=lambda item: -item[0])
    for new, specialty, phrase in chosen[: wishes.most]:
        if new >= wishes.support:
            yield specialty, phrase


def _usable(
    bits: dict[Phrase, int], masks: _Masks, of_label: int, wishes: Wishes
) -> list[tuple[Phrase, int, float]]:
    """Phrases that are precise enough on the half that chooses, with their rows and the bound."""
    ranked: list[tuple[int, Phrase, int, float]] = []
    for phrase, mask in bits.items():
        made = (mask & masks.chooses).bit_count()
        right = (mask & masks.chooses & of_label).bit_count()
        if made and right >= wishes.precision * made:
            bound = lower_bound(right, made)
            ranked.append((right, phrase, mask, bound))
    ranked.sort(key=lambda item: (-item[0], item[1]))
    return [(phrase, mask, bound) for _, phrase, mask, bound in ranked[:_CANDIDATES]]


def _greedy(
    usable: Sequence[tuple[Phrase, int, float]], masks: _Masks, wanted: int, least: int
) -> Iterator[tuple[Phrase, int]]:
    """Greedy set cover (Chvatal 1979), the gain weighed by the bound."""
    wanted &= masks.chooses
    left = list(usable)
    while left:
        gains = [(mask & wanted).bit_count() for _, mask, _ in left]
        best = max(
            range(len(left)), key=lambda at: (gains[at] * left[at][2], *_preference(left[at][0]))
        )
        if gains[best] < least:
            return
        phrase, mask, _ = left[best]
        yield phrase, mask
        wanted &= ~mask
        left = [each for each, gain in zip(left, gains, strict=True) if gain >= least]


def _preference(phrase: Phrase) -> tuple[int, int]:
    """Of phrases that cover the same: one without a gap, and then the longest."""
    return -phrase.count(GAP), len(phrase)


def _masks(rows: Sequence[_Row]) -> _Masks:
    labels: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        labels[row.label].append(number)
    size = len(rows)
    return _Masks(
        _bits([n for n, row in enumerate(rows) if row.chooses], size),
        _bits([n for n, row in enumerate(rows) if row.is_open], size),
        {label: _bits(numbers, size) for label, numbers in sorted(labels.items())},
    )


def _bits(numbers: Sequence[int], size: int) -> int:
    filled = bytearray(size // 8 + 1)
    for number in numbers:
        filled[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(filled, "little")


def _rule(specialty: Specialty, phrase: Phrase, taken: set[str]) -> Rule:
    base = f"mined-{specialty}-{name_of(phrase)}"[: MAX_NAME_CHARS - 4]
    name, number = base, 2
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    taken.add(name)
    return Rule(name=name, specialty=specialty, patterns=(pattern_of(phrase),))


def _judged(drafts: tuple[Rule, ...], rows: Sequence[_Row], wishes: Wishes) -> tuple[Proposal, ...]:
    """Those that hold on the other half, with the engine's own counts."""
    if not drafts:
        return ()
    stage = RulesStage(RuleSet(version="", rules=drafts))
    fired: list[list[int]] = [[] for _ in drafts]
    for number, row in enumerate(rows):
        for rule in stage.fired(features(row.prompt)):
            fired[rule].append(number)
    proposals: list[Proposal] = []
    covered: set[int] = set()
    for draft, numbers in zip(drafts, fired, strict=True):
        logged = _counted(draft, [rows[n] for n in numbers])
        held_out = _counted(draft, [rows[n] for n in numbers if not rows[n].chooses])
        new = [
            n
            for n in numbers
            if rows[n].is_open and rows[n].label == draft.specialty and n not in covered
        ]
        holds = held_out.precision is not None and held_out.precision >= wishes.precision
        if not holds or logged.lower < wishes.lower or len(new) < wishes.support:
            continue
        covered.update(new)
        weight = min(_HIGHEST_WEIGHT, floor(logged.lower * 100) / 100)
        proposals.append(
            Proposal(
                rule=replace(draft, weight=weight),
                new=len(new),
                logged=logged,
                held_out=held_out,
                examples=tuple(example(rows[n].prompt) for n in new[:_EXAMPLES]),
            )
        )
    return tuple(proposals)


def _counted(rule: Rule, rows: Sequence[_Row]) -> PrecisionCount:
    return PrecisionCount(made=len(rows), right=sum(row.label == rule.specialty for row in rows))


def _on_data(
    rules: RuleSet, proposals: tuple[Proposal, ...], data: Sequence[Labelled]
) -> tuple[tuple[Proposal, ...], Figures | None, Figures | None]:
    mined = tuple(each.rule for each in proposals)
    before = measure(rules, data).overall
    if not mined:
        return proposals, before, before
    figures = measure(RuleSet(version="", rules=mined), data).figures
    judged = tuple(
        replace(each, data=PrecisionCount(made=on.counted, right=on.right))
        for each, on in zip(proposals, figures, strict=True)
    )
    every = replace(rules, rules=(*rules.rules, *mined)[:MAX_RULES])
    return judged, before, measure(every, data).overall

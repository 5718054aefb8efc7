r"""Stage ``rules``: every rule in one Hyperscan database, one pass over the text, linear time.

How a decision is made of the rules that fire:

* A rule counts when one of its patterns matched in its part, all that it ``requires`` matched and
  none that it ``excludes`` did.
* Evidence for specialty s, from its counting rules' weights w (noisy-or; Pearl 1988, section 4.3.2;
  each weight is the chance that the specialty is right given that rule alone):
  ``score(s) = 1 - product(1 - w)``.
* A counting ``veto`` takes its specialty out.
* ``probability(s) = score(s) / max(1, sum of all scores)``: one specialty keeps its score as it is;
  contradicting ones share, so that two certainties give one half each.
* The most probable specialty wins when its probability reaches ``threshold`` and exceeds the next
  one's by ``margin``. Otherwise the stage abstains and says what it leaned to.

Cost is bounded whatever the prompt: ``folding.shown`` says what is looked at of a part, at most
32 KiB, with disguises taken off. Nothing that a prompt says of rules or routing is obeyed: it is
text like any other, and decides by the rules that it fires.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Set
from dataclasses import dataclass

import hyperscan

from mesh.errors import RuleError
from mesh.types import Alternative, Message, Role, Specialty
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.compiled import CompiledRules, Entry
from orchestrator.router.folding import shown
from orchestrator.router.rule_file import REPORTED_PROBLEMS, Rule, RulePart, RuleSet, raise_for
from orchestrator.router.spec import Placed, StageParts, StageSpec

_NAMED_IN_NOTES = 6
_ONLY_MARKERS = Abstain("only markers fired")

# A match that ends at 0 is a match of nothing. Each of these is a place where one can hide.
_ZERO_WIDTH_PROBES = (b"", b"a", b" ", b"\n", b"a b\n")
_REMEDIES = (
    ("matches empty buffer", "it matches where there is nothing; make it need a character"),
    ("Bounded repeat is too large", "repeat at most 32,767 times, or use '+' or '*'"),
    ("Resource limit", "repeats within repeats multiply; count lower, or use '+' or '*'"),
    ("in \\x{", r"write \x{...} with a hexadecimal code point up to 10FFFF"),
    ("too large", "it needs too many states; shorten the counted repeats"),
    ("Unterminated comment", "close it with ')', end it with a newline, or leave (?x) away"),
    ("Embedded start anchors", "put '^' first, or set multiline = true"),
    ("Embedded end anchors", "put '$' last, or set multiline = true"),
    ("Invalid repeat", "put a group around what is repeated, (?:...), or a '\\' before the sign"),
    ("Range out of order", "in a class write the lower character first; sets cannot be subtracted"),
    ("Unescaped \\", "write '\\\\' for a backslash"),
    ("parenthes", "write '\\(' or '\\)' where the text has one"),
    ("character class", "close it with ']', or write '\\[' where the text has one"),
    ("property", r"use a script or category, such as \p{Greek} or \p{L}"),
)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A rule in the form that deciding needs: companions as indices."""

    rule: Rule
    specialty: Specialty
    weight: float
    veto: bool
    requires: frozenset[int]
    excludes: frozenset[int]


class RulesStage:
    """A compiled ``RuleSet``. Immutable, and safe to use from several threads at once.

    Making one takes from 0.1 ms a plain pattern to 100 ms a pattern with counted gaps, without the
    GIL: outside of start-up, do it in a thread. Raises ``RuleError`` naming each rule that the
    engine refuses (up to five). With a ``cache``, rules compiled before load in a millisecond.
    """

    def __init__(
        self, rules: RuleSet, *, where: str = "rules", cache: CompiledRules | None = None
    ) -> None:
        self.rules = rules
        self._cache = cache
        index = {rule.name: number for number, rule in enumerate(rules.rules)}
        self._compiled = {  # without markers, which decide nothing by themselves
            number: _Compiled(
                rule,
                rule.specialty,
                rule.weight,
                rule.veto,
                frozenset(index[name] for name in rule.requires),
                frozenset(index[name] for name in rule.excludes),
            )
            for number, rule in enumerate(rules.rules)
            if rule.specialty is not None
        }
        # One database a part: a few rules on the conversation must not scan all of it for the rest.
        self._databases = {
            part: _database(rules, part, where, cache)
            for part in RulePart
            if any(rule.part is part for rule in rules.rules)
        }
        self._threads = threading.local()

    def under(self, rules: RuleSet, where: str) -> RulesStage:
        """A stage of these rules, with the same cache."""
        return RulesStage(rules, where=where, cache=self._cache)

    @property
    def database(self) -> hyperscan.Database | None:
        """The compiled rules on the last user turn, for benchmarks and tools; None when there are
        none. Its own scratch is for one thread at a time; this stage never uses it."""
        return self._databases.get(RulePart.LAST_USER)

    def decide(self, features: Features) -> Verdict | Abstain:
        """The verdict by the formula in this module's docstring. Never raises for any text."""
        return self.weigh(self.fired(features))

    def fired(self, features: Features) -> set[int]:
        """Indices of the rules whose patterns matched in the part that they look at."""
        try:
            scans = self._threads.scans
        except AttributeError:
            # One scratch a thread: two scans must never share one. Only clones may be kept; the
            # database frees its own with itself, whoever still holds it.
            scans = self._threads.scans = [
                (part, database, database.scratch.clone())
                for part, database in self._databases.items()
            ]
        fired: set[int] = set()
        for part, database, scratch in scans:
            if data := prepare(_text(features, part)):
                fired.update(_scan(database, data, scratch))
        return fired

    def counting(self, fired: Set[int]) -> list[int]:
        """Indices of those among ``fired`` that count, vetoes included, in file order."""
        known = self._compiled
        return [
            number
            for number in sorted(fired & known.keys())
            if known[number].requires <= fired and known[number].excludes.isdisjoint(fired)
        ]

    def weigh(self, fired: Set[int]) -> Verdict | Abstain:
        """The verdict when exactly the rules of these indices matched."""
        if not fired:
            return Abstain("no rule fired" if self._databases else "no rules")
        counting: list[Rule] = []
        doubt: dict[Specialty, float] = {}
        strongest: dict[Specialty, Rule] = {}
        vetoes: dict[Specialty, str] = {}
        for number in self.counting(fired):  # file order, so that ties go to the first one there
            compiled = self._compiled[number]
            specialty = compiled.specialty
            if compiled.veto:
                vetoes.setdefault(specialty, compiled.rule.name)
                continue
            counting.append(compiled.rule)
            if specialty not in doubt:
                doubt[specialty] = 1.0 - compiled.weight
                strongest[specialty] = compiled.rule
                continue
            doubt[specialty] *= 1.0 - compiled.weight
            if compiled.weight > strongest[specialty].weight:
                strongest[specialty] = compiled.rule
        if not counting and not vetoes:
            return _ONLY_MARKERS
        note = _summary(counting, vetoes)
        scores = {s: 1.0 - d for s, d in doubt.items() if s not in vetoes and d < 1.0}
        if not scores:
            return Abstain(f"nothing left to decide by; {note}")
        total = max(1.0, sum(scores.values()))
        ranked = tuple(
            Alternative(specialty=s, probability=scores[s] / total, rule=strongest[s].name)
            for s in sorted(scores, key=scores.__getitem__, reverse=True)
        )
        best = ranked[0]
        lead = best.probability - (ranked[1].probability if len(ranked) > 1 else 0.0)
        if best.probability < self.rules.threshold:
            return Abstain(
                f"'{best.specialty}' at {best.probability:.2f} is below the threshold "
                f"{self.rules.threshold:.2f}; {note}",
                ranked,
            )
        if lead < self.rules.margin:
            return Abstain(
                f"'{best.specialty}' leads '{ranked[1].specialty}' by {lead:.2f}, less than the "
                f"margin {self.rules.margin:.2f}; {note}",
                ranked,
            )
        return Verdict(best.specialty, best.probability, best.rule, ranked, note)


def prepare(text: str) -> bytes:
    """What is scanned of ``text``: at most 32 KiB of valid UTF-8, normalised (``folding``)."""
    return shown(text).encode("utf-8")


def _text(features: Features, part: RulePart) -> str:
    match part:
        case RulePart.LAST_USER:
            return features.last_user
        case RulePart.SYSTEM:
            return _joined(m for m in features.messages if m.role is Role.SYSTEM)
        case RulePart.CONVERSATION:
            return _joined(features.messages)


def _joined(messages: Iterable[Message]) -> str:
    # Joining copies a long conversation once (a megabyte takes about 0.1 ms); prepare() cuts it.
    return "\n".join(message.text for message in messages)


def _scan(database: hyperscan.Database, data: bytes, scratch: hyperscan.Scratch) -> list[int]:
    hits: list[int] = []

    def note(identifier: int, _start: int, _end: int, _flags: int, _context: object) -> None:
        hits.append(identifier)

    database.scan(data, match_event_handler=note, scratch=scratch)
    return hits


def _summary(counting: list[Rule], vetoes: dict[Specialty, str]) -> str:
    if not vetoes and 0 < len(counting) <= _NAMED_IN_NOTES:  # nearly always, and a microsecond less
        return "fired: " + ", ".join([rule.name for rule in counting])
    names = [rule.name for rule in counting[:_NAMED_IN_NOTES]]
    if len(counting) > _NAMED_IN_NOTES:
        names.append(f"{len(counting) - _NAMED_IN_NOTES} more")
    said = f"fired: {', '.join(names)}" if names else ""
    vetoed = ", ".join(f"'{s}' vetoed by {rule}" for s, rule in vetoes.items())
    return "; ".join(filter(None, (said, vetoed)))


def _flags(rule: Rule) -> int:
    flags = hyperscan.HS_FLAG_UTF8 | hyperscan.HS_FLAG_SINGLEMATCH
    flags |= hyperscan.HS_FLAG_CASELESS if rule.caseless else 0
    flags |= hyperscan.HS_FLAG_MULTILINE if rule.multiline else 0
    flags |= hyperscan.HS_FLAG_DOTALL if rule.dotall else 0
    # Not for all rules: with Unicode classes the engine has no \b, which precise rules live by.
    flags |= hyperscan.HS_FLAG_UCP if rule.unicode else 0
    return int(flags)


def entries_of(rules: RuleSet, part: RulePart) -> list[Entry]:
    """What the database of this part is compiled from. A rule's patterns share its number."""
    return [
        (number, pattern.encode("utf-8"), _flags(rule))
        for number, rule in enumerate(rules.rules)
        if rule.part is part
        for pattern in rule.patterns
    ]


def _database(
    rules: RuleSet, part: RulePart, where: str, cache: CompiledRules | None
) -> hyperscan.Database:
    entries = entries_of(rules, part)
    # Only what passed every check is ever kept, so what is found needs none.
    database = cache.load(entries) if cache else None
    if database is None:
        database = _compile(rules, entries, where)
        if cache:
            cache.keep(entries, database)
    return database


def _compile(rules: RuleSet, entries: list[Entry], where: str) -> hyperscan.Database:
    database = hyperscan.Database()
    try:
        database.compile(
            expressions=[pattern for _, pattern, _ in entries],
            ids=[number for number, _, _ in entries],
            flags=[flags for _, _, flags in entries],
        )
    except hyperscan.error as error:
        # The binding does not say which expression it was.
        raise_for(engine_problems(rules, REPORTED_PROBLEMS + 1), where)
        raise RuleError(
            f"{where}: the rules cannot be put into one database: {error}; "
            "shorten the counted repeats, or use fewer rules"
        ) from None
    raise_for(_zero_width(rules, database), where)
    return database


def engine_problems(
    rules: RuleSet, limit: int | None = None, *, numbered: bool = True
) -> list[str]:
    """Each pattern that the engine refuses, with the remedy; the search ends after ``limit``. Every
    pattern is compiled by itself: 0.1 to 100 ms each. ``numbered`` False: ``rules`` are not all
    that the file has, so their positions say nothing."""
    problems: list[str] = []
    for number, rule in enumerate(rules.rules, 1):
        for position, pattern in enumerate(rule.patterns, 1):
            if said := _refusal(pattern.encode("utf-8"), _flags(rule)):
                label = f", pattern {position}" if len(rule.patterns) > 1 else ""
                which = f"rule {number}" if numbered else "rule"
                problems.append(f"{which} '{rule.name}'{label}: {said}")
        if limit is not None and len(problems) >= limit:
            break
    return problems


def _refusal(pattern: bytes, flags: int) -> str:
    database = hyperscan.Database()
    try:
        database.compile(expressions=[pattern], ids=[0], flags=[flags])
    except hyperscan.error as error:
        said = str(error).rstrip(".")
        remedy = next((fix for part, fix in _REMEDIES if part in said), "")
        return f"{said}; {remedy}" if remedy else said
    return _REMEDIES[0][1] if _matches_nothing(database) else ""


def _zero_width(rules: RuleSet, database: hyperscan.Database) -> list[str]:
    return [
        f"rule {number + 1} '{rules.rules[number].name}': {_REMEDIES[0][1]}"
        for number in sorted(_matches_nothing(database))
    ]


def _matches_nothing(database: hyperscan.Database) -> set[int]:
    """Ids of patterns of borders only, such as ``^`` or ``\\b``: they fire on any text and mean
    nothing."""
    empty: set[int] = set()

    def note(identifier: int, _start: int, end: int, _flags: int, _context: object) -> None:
        if end == 0:
            empty.add(identifier)

    for probe in _ZERO_WIDTH_PROBES:
        database.scan(probe, match_event_handler=note)
    return empty


def _made(_: object, parts: StageParts) -> RulesStage:
    """Of no rules: they come with ``under``."""
    return RulesStage(RuleSet(version="", rules=()), cache=parts.cache)


SPEC = StageSpec(name="rules", quick=True, make=_made, renewed=RulesStage.under)


def alone(rules: RuleSet, where: str) -> tuple[Placed, ...]:
    """A cascade of nothing but the rules."""
    return (Placed(SPEC, RulesStage(rules, where=where)),)

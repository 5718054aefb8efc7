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

Cost is bounded whatever the prompt: of a part longer than 32 KiB only the first and last 16 KiB are
looked at. Between them stands a NUL in a line of its own, so that ``^`` and ``$`` still mean the
text's own ends and few patterns can reach across. ASCII text is scanned as it is; other text is
brought to NFKC first, without invisible characters and with typographic quotes made plain.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from unicodedata import normalize

import hyperscan

from mesh.errors import RuleError
from mesh.types import Alternative, Message, Role, Specialty
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.compiled import CompiledRules, Entry
from orchestrator.router.rule_file import REPORTED_PROBLEMS, Part, Rule, RuleSet, raise_for

EDGE_BYTES = 16 * 1024
_GAP = "\n\0\n"
_NAMED_IN_NOTES = 6

# Zero-width, bidirectional and tag characters and variation selectors: they show as nothing, and
# would split a word for the engine. NFKC keeps them.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e01ef]+"
)
_PLAIN = (("\u2018", "'"), ("\u2019", "'"), ("\u201c", '"'), ("\u201d", '"'), ("\u2212", "-"))
# NFKC sorts runs of combining marks by insertion, in quadratic time. Runs in real text are a few
# marks long; what a piece's border may cost is one composition in this many characters.
_NORMALISE_CHARACTERS = 128

# A match that ends at 0 is a match of nothing. Each of these is a place where one can hide.
_ZERO_WIDTH_PROBES = (b"", b"a", b" ", b"\n", b"a b\n")
_REMEDIES = (
    ("matches empty buffer", "it matches where there is nothing; make it need a character"),
    ("Bounded repeat is too large", "repeat at most 32,767 times, or use '+' or '*'"),
    ("too large", "it needs too many states; shorten the counted repeats"),
    ("Unterminated comment", "close it with ')', or leave (?x) away"),
)


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A rule in the form that deciding needs: companions as indices."""

    rule: Rule
    requires: frozenset[int]
    excludes: frozenset[int]


class RulesStage:
    """A compiled ``RuleSet``. Immutable, and safe to use from several threads at once.

    Making one takes from 0.1 ms a plain pattern to 100 ms a pattern with counted gaps, without the
    GIL: outside of start-up, do it in a thread. Raises ``RuleError`` naming each rule that the
    engine refuses (up to five). With a ``cache``, rules compiled before load in a millisecond.
    """

    name = "rules"

    def __init__(
        self, rules: RuleSet, *, where: str = "rules", cache: CompiledRules | None = None
    ) -> None:
        self.rules = rules
        index = {rule.name: number for number, rule in enumerate(rules.rules)}
        self._compiled = tuple(
            _Compiled(
                rule,
                frozenset(index[name] for name in rule.requires),
                frozenset(index[name] for name in rule.excludes),
            )
            for rule in rules.rules
        )
        self._by_part = {
            part: frozenset(n for n, rule in enumerate(rules.rules) if rule.part is part)
            for part in Part
        }
        self._parts = tuple(part for part in Part if self._by_part[part])
        self._markers = frozenset(n for n, r in enumerate(rules.rules) if r.specialty is None)
        self._database = _database(rules, where, cache) if rules.rules else None
        self._threads = threading.local()

    @property
    def database(self) -> hyperscan.Database | None:
        """The compiled rules, for benchmarks and tools; None for an empty set. Its own scratch is
        for one thread at a time; this stage never uses it."""
        return self._database

    def decide(self, features: Features) -> Verdict | Abstain:
        """The verdict by the formula in this module's docstring. Never raises for any text."""
        fired = self._fired(features)
        if not fired:
            return Abstain("no rule fired" if self._database is not None else "no rules")
        return self._weigh(fired)

    def _fired(self, features: Features) -> set[int]:
        """Indices of the rules whose patterns matched in the part that they look at."""
        database = self._database
        if database is None:
            return set()
        try:
            scratch = self._threads.scratch
        except AttributeError:
            # One a thread: two scans must never share one. Only clones may be kept; the database
            # frees its own with itself, whoever still holds it.
            scratch = self._threads.scratch = database.scratch.clone()
        fired: set[int] = set()
        for part in self._parts:
            data = prepare(_text(features, part))
            if data and (hits := _scan(database, data, scratch)):
                fired |= self._by_part[part].intersection(hits)
        return fired

    def _weigh(self, fired: set[int]) -> Verdict | Abstain:
        counting: list[Rule] = []
        doubt: dict[Specialty, float] = {}
        strongest: dict[Specialty, Rule] = {}
        vetoes: dict[Specialty, str] = {}
        for number in sorted(
            fired - self._markers
        ):  # file order, so that ties go to the rule that stands first
            compiled = self._compiled[number]
            rule = compiled.rule
            specialty = rule.specialty
            if specialty is None or not (
                compiled.requires <= fired and compiled.excludes.isdisjoint(fired)
            ):
                continue
            if rule.veto:
                vetoes.setdefault(specialty, rule.name)
                continue
            counting.append(rule)
            doubt[specialty] = doubt.get(specialty, 1.0) * (1.0 - rule.weight)
            if specialty not in strongest or rule.weight > strongest[specialty].weight:
                strongest[specialty] = rule
        note = _summary(counting, vetoes)
        scores = {s: 1.0 - d for s, d in doubt.items() if s not in vetoes and d < 1.0}
        if not scores:
            return Abstain(f"nothing left to decide by; {note}" if note else "only markers fired")
        total = max(1.0, sum(scores.values()))
        ranked = tuple(
            Alternative(specialty=s, probability=score / total, rule=strongest[s].name)
            for s, score in sorted(scores.items(), key=lambda item: -item[1])
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
    """What is scanned of ``text``: at most 32 KiB of valid UTF-8, normalised. Lone surrogates,
    which no UTF-8 has, become '?'."""
    if len(text) > 2 * EDGE_BYTES:
        text = text[:EDGE_BYTES] + _GAP + text[-EDGE_BYTES:]
    if text.isascii():
        return text.encode("ascii")
    text = _clip(text.encode("utf-8", "replace")).decode("utf-8")
    text = _INVISIBLE.sub("", text)
    for typographic, plain in _PLAIN:
        text = text.replace(typographic, plain)
    return _clip(_nfkc(text).encode("utf-8"))


def _nfkc(text: str) -> str:
    """In pieces, and from both ends inwards until enough is there: a single character can become
    eighteen (U+FDFA), so that bounding what goes in does not bound the work."""
    step = _NORMALISE_CHARACTERS
    starts = range(0, len(text), step)
    head: list[str] = []
    size = used = 0
    while used < len(starts) and size < EDGE_BYTES:
        head.append(normalize("NFKC", text[starts[used] : starts[used] + step]))
        size += len(head[-1])
        used += 1
    tail: list[str] = []
    size, left = 0, len(starts)
    while left > used and size < EDGE_BYTES:
        left -= 1
        tail.append(normalize("NFKC", text[starts[left] : starts[left] + step]))
        size += len(tail[-1])
    return "".join((*head, _GAP if left > used else "", *reversed(tail)))


def _clip(data: bytes) -> bytes:
    if len(data) <= 2 * EDGE_BYTES + len(_GAP):
        return data
    # A cut inside a character leaves bytes that are no UTF-8, and the engine must not see those.
    head = data[:EDGE_BYTES].decode("utf-8", "ignore")
    tail = data[-EDGE_BYTES:].decode("utf-8", "ignore")
    return (head + _GAP + tail).encode("utf-8")


def _text(features: Features, part: Part) -> str:
    match part:
        case Part.LAST_USER:
            return features.last_user
        case Part.SYSTEM:
            return _joined(m for m in features.messages if m.role is Role.SYSTEM)
        case Part.CONVERSATION:
            return _joined(features.messages)


def _joined(messages: Iterable[Message]) -> str:
    # Joining copies a long conversation once (a megabyte takes about 0.1 ms); prepare() cuts it.
    return "\n".join(message.content for message in messages)


def _scan(database: hyperscan.Database, data: bytes, scratch: hyperscan.Scratch) -> list[int]:
    hits: list[int] = []

    def note(identifier: int, _start: int, _end: int, _flags: int, _context: object) -> None:
        hits.append(identifier)

    database.scan(data, match_event_handler=note, scratch=scratch)
    return hits


def _summary(counting: list[Rule], vetoes: dict[Specialty, str]) -> str:
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


def _database(rules: RuleSet, where: str, cache: CompiledRules | None) -> hyperscan.Database:
    entries = [
        (number, pattern.encode("utf-8"), _flags(rule))  # a rule's patterns share its number
        for number, rule in enumerate(rules.rules)
        for pattern in rule.patterns
    ]
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
        raise_for(_culprits(rules), where)
        raise RuleError(
            f"{where}: the rules cannot be put into one database: {error}; "
            "shorten the counted repeats, or use fewer rules"
        ) from None
    raise_for(_zero_width(rules, database), where)
    return database


def _culprits(rules: RuleSet) -> list[str]:
    problems: list[str] = []
    for number, rule in enumerate(rules.rules, 1):
        for position, pattern in enumerate(rule.patterns, 1):
            try:
                hyperscan.Database().compile(
                    expressions=[pattern.encode("utf-8")], ids=[0], flags=[_flags(rule)]
                )
            except hyperscan.error as error:
                said = str(error).rstrip(".")
                remedy = next((fix for part, fix in _REMEDIES if part in said), "")
                label = f", pattern {position}" if len(rule.patterns) > 1 else ""
                line = f"rule {number} '{rule.name}'{label}: {said}"
                problems.append(f"{line}; {remedy}" if remedy else line)
        if len(problems) > REPORTED_PROBLEMS:
            break
    return problems


def _zero_width(rules: RuleSet, database: hyperscan.Database) -> list[str]:
    """Patterns of borders only, such as ``^`` or ``\\b``, fire on any text and mean nothing."""
    empty: set[int] = set()

    def note(identifier: int, _start: int, end: int, _flags: int, _context: object) -> None:
        if end == 0:
            empty.add(identifier)

    for probe in _ZERO_WIDTH_PROBES:
        database.scan(probe, match_event_handler=note)
    return [
        f"rule {number + 1} '{rules.rules[number].name}': {_REMEDIES[0][1]}"
        for number in sorted(empty)
    ]

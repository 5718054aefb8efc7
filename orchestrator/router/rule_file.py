"""The rules file: TOML in, a checked and frozen ``RuleSet`` out, or a ``RuleError`` that names the
rule, the place in its pattern, and what to write instead.

    fallback = "chat"      # optional: the specialty when every stage abstains
    threshold = 0.6        # a specialty needs this probability to win ...
    margin = 0.2           # ... and this much more than the next one

    [[rules]]
    name = "write-a-function"
    specialty = "code"
    pattern = '''\\bwrite (a|an|the)\\b.{0,40}\\bfunction\\b'''   # or patterns = [..]: any of
    weight = 0.95          # 0..1: how often the specialty is right when the rule fires
    part = "last_user"     # or "system", or "conversation" (all turns, system text included)
    caseless = true        # flags: caseless, multiline, dotall, unicode
    veto = false           # true: when it fires, its specialty is out of the question
    requires = []          # names of rules whose patterns must have matched too
    excludes = []          # names of rules whose patterns must not have matched

A rule without a ``specialty`` is a marker: it stands for nothing itself and exists to be required
or excluded by others. ``requires`` and ``excludes`` look at whether the companion's own patterns
matched, not at its companions in turn, so there are no cycles and no order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mesh.errors import ConfigError, RuleError
from mesh.fleet.records import rules_version
from mesh.settings.toml import read_toml
from mesh.types import SPECIALTY_PATTERN, Specialty
from orchestrator.router.pattern_check import check_pattern

MAX_RULES = 10_000
MAX_PATTERNS = 20_000
MAX_PATTERN_BYTES = 4096
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_NAME_CHARS = 80
REPORTED_PROBLEMS = 5
DEFAULT_THRESHOLD = 0.6
DEFAULT_MARGIN = 0.2


class RulePart(StrEnum):
    """What a rule looks at."""

    LAST_USER = "last_user"
    SYSTEM = "system"
    CONVERSATION = "conversation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, checked. ``specialty`` None: a marker. Flags are the engine's: ``multiline`` lets
    ``^`` and ``$`` match at line ends, ``dotall`` lets ``.`` match a newline, ``unicode`` makes
    ``\\w``, ``\\d`` and ``\\s`` know all scripts (``\\b`` is then not available)."""

    name: str
    specialty: Specialty | None
    patterns: tuple[str, ...]
    weight: float = 1.0
    part: RulePart = RulePart.LAST_USER
    caseless: bool = True
    multiline: bool = False
    dotall: bool = False
    unicode: bool = False
    veto: bool = False
    requires: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """All rules of one file. ``version``: first 12 hex digits of SHA-256 over the file's bytes."""

    version: str
    rules: tuple[Rule, ...] = ()
    threshold: float = DEFAULT_THRESHOLD
    margin: float = DEFAULT_MARGIN
    fallback: Specialty | None = None


_FILE_KEYS = {"rules", "threshold", "margin", "fallback"}
_RULE_KEYS = {
    *("name", "specialty", "pattern", "patterns", "weight", "part", "veto"),
    *("caseless", "multiline", "dotall", "unicode", "requires", "excludes"),
}


def parse(content: bytes, *, where: str = "rules") -> RuleSet:
    """Checks everything that can be checked without compiling.

    Raises ``RuleError``: the first problem in file order, then up to four more. ``where`` is what
    the message calls the source (a path, or a registry key).
    """
    rules, problems = read(content)
    raise_for(problems, where)
    return rules


def read(content: bytes) -> tuple[RuleSet, list[str]]:
    """What can be understood of a file, and every problem in it, for tools that report them all.
    With problems, the rules that have some are missing, and companions are not checked."""
    problems: list[str] = []
    data = _toml(content, problems)
    _check_keys(data, _FILE_KEYS, "top level", problems)
    threshold = _share(data, "threshold", DEFAULT_THRESHOLD, "top level", problems)
    margin = _share(data, "margin", DEFAULT_MARGIN, "top level", problems)
    fallback = _specialty(data.get("fallback"), "top level: fallback", problems)
    rules = RuleSet(
        version=rules_version(content),
        rules=_rules(data.get("rules", []), problems),
        threshold=threshold,
        margin=margin,
        fallback=fallback,
    )
    return rules, problems


def _toml(content: bytes, problems: list[str]) -> dict[str, Any]:
    try:
        return read_toml(content, MAX_FILE_BYTES)
    except ConfigError as error:
        problems.append(error.message)
    return {}


def raise_for(problems: list[str], where: str) -> None:
    """Raises one ``RuleError`` for all of ``problems``, the first one first; none: returns."""
    if not problems:
        return
    shown = "; ".join(problems[:REPORTED_PROBLEMS])
    more = len(problems) - REPORTED_PROBLEMS
    raise RuleError(f"{where}: {shown}" + (f"; and {more} more" if more > 0 else ""))


def _rules(data: Any, problems: list[str]) -> tuple[Rule, ...]:
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        problems.append("'rules' must be a list of tables; write each one under [[rules]]")
        return ()
    if len(data) > MAX_RULES:
        problems.append(f"{len(data):,} rules; at most {MAX_RULES:,} are allowed")
        return ()
    rules: list[Rule] = []
    first_use: dict[str, int] = {}
    for number, entry in enumerate(data, 1):
        rule = _rule(entry, number, problems)
        if rule is None:
            continue
        if rule.name in first_use:
            problems.append(
                f"rule {number} '{rule.name}': rule {first_use[rule.name]} has this name already; "
                "give each rule its own"
            )
            continue
        first_use[rule.name] = number
        rules.append(rule)
    if sum(len(rule.patterns) for rule in rules) > MAX_PATTERNS:
        problems.append(f"more than {MAX_PATTERNS:,} patterns in all; join some of them with '|'")
    if not problems:  # a rule that was refused above would be reported again as unknown here
        _check_companions(rules, problems)
    return tuple(rules)


def _rule(entry: dict[str, Any], number: int, problems: list[str]) -> Rule | None:
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_CHARS:
        problems.append(f"rule {number}: needs a 'name', text of 1 to {MAX_NAME_CHARS} characters")
        return None
    at = f"rule {number} '{name}'"
    before = len(problems)
    _check_keys(entry, _RULE_KEYS, at, problems)
    rule = Rule(
        name=name,
        specialty=_specialty(entry.get("specialty"), f"{at}: specialty", problems),
        patterns=_patterns(entry, at, problems),
        weight=_share(entry, "weight", 1.0, at, problems),
        part=_part(entry, at, problems),
        caseless=_flag(entry, "caseless", True, at, problems),
        multiline=_flag(entry, "multiline", False, at, problems),
        dotall=_flag(entry, "dotall", False, at, problems),
        unicode=_flag(entry, "unicode", False, at, problems),
        veto=_flag(entry, "veto", False, at, problems),
        requires=_names(entry, "requires", at, problems),
        excludes=_names(entry, "excludes", at, problems),
    )
    if rule.veto and "weight" in entry:
        problems.append(f"{at}: a veto has no weight, it excludes its specialty outright; drop it")
    if rule.specialty is None and (rule.veto or rule.requires or rule.excludes):
        problems.append(
            f"{at}: veto, requires and excludes need a 'specialty'; a rule without one is a marker"
        )
    for position, pattern in enumerate(rule.patterns, 1):
        label = at if len(rule.patterns) == 1 else f"{at}, pattern {position}"
        problem = check_pattern(
            pattern, unicode=rule.unicode, limit=MAX_PATTERN_BYTES, multiline=rule.multiline
        )
        if problem:
            problems.append(f"{label}: {problem}")
    return rule if len(problems) == before else None


def _patterns(entry: dict[str, Any], at: str, problems: list[str]) -> tuple[str, ...]:
    if ("pattern" in entry) == ("patterns" in entry):
        problems.append(f"{at}: needs either 'pattern' or 'patterns' (any of them), and not both")
        return ()
    found = entry.get("patterns", [entry.get("pattern")])
    if not isinstance(found, list) or not found or not all(isinstance(p, str) for p in found):
        problems.append(f"{at}: a pattern is text in quotes, 'patterns' a list of such, not empty")
        return ()
    return tuple(found)


def _check_companions(rules: list[Rule], problems: list[str]) -> None:
    known = {rule.name for rule in rules}
    wanted: set[str] = set()
    for rule in rules:
        for key, names in (("requires", rule.requires), ("excludes", rule.excludes)):
            wanted.update(names)
            for name in names:
                if name == rule.name:
                    problems.append(f"rule '{name}': {key} itself, so it can never count")
                elif name not in known:
                    problems.append(
                        f"rule '{rule.name}': {key} '{name}', and no rule has that name"
                    )
        for name in sorted({*rule.requires} & {*rule.excludes}):
            problems.append(f"rule '{rule.name}': both requires and excludes '{name}'")
    for rule in rules:
        if rule.specialty is None and rule.name not in wanted:
            problems.append(
                f"rule '{rule.name}': has no specialty and no rule requires or excludes it; "
                "add 'specialty'"
            )


def _check_keys(data: dict[str, Any], known: set[str], at: str, problems: list[str]) -> None:
    for key in data:
        if key not in known:
            problems.append(f"{at}: unknown key '{key}'; known: {', '.join(sorted(known))}")


def _share(data: dict[str, Any], key: str, default: float, at: str, problems: list[str]) -> float:
    value = data.get(key, default)
    # The comparison also refuses nan, which TOML can spell.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        problems.append(f"{at}: '{key}' must be a number from 0 to 1")
        return default
    return float(value)


def _flag(entry: dict[str, Any], key: str, default: bool, at: str, problems: list[str]) -> bool:
    value = entry.get(key, default)
    if not isinstance(value, bool):
        problems.append(f"{at}: '{key}' must be true or false")
        return default
    return value


def _names(entry: dict[str, Any], key: str, at: str, problems: list[str]) -> tuple[str, ...]:
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        problems.append(f"{at}: '{key}' must be a list of rule names")
        return ()
    return tuple(value)


def _part(entry: dict[str, Any], at: str, problems: list[str]) -> RulePart:
    value = entry.get("part", RulePart.LAST_USER)
    if value not in list(RulePart):
        problems.append(f"{at}: 'part' must be one of {', '.join(RulePart)}")
        return RulePart.LAST_USER
    return RulePart(value)


def _specialty(value: Any, at: str, problems: list[str]) -> Specialty | None:
    if value is None:
        return None
    if not isinstance(value, str) or not SPECIALTY_PATTERN.fullmatch(value):
        problems.append(
            f"{at} must be lower-case letters, digits, '-' and '_', starting with a letter, "
            "at most 32"
        )
        return None
    return Specialty(value)

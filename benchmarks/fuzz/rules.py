"""Rules files: read, checked, and where they are few and short also compiled.

What compiles for ever is the business of the compiler's own limits, and not of this: here all
patterns together have a few characters.
"""

from __future__ import annotations

from mesh.errors import RuleError
from orchestrator.router.rule_file import RuleSet, parse
from orchestrator.router.rules import RulesStage

SEEDS: tuple[bytes, ...] = (
    b"fallback = 'chat'\nthreshold = 0.6\nmargin = 0.2\n[[rules]]\nname = 'a'\nspecialty = 'math'\n"
    b"patterns = ['\\bsum\\b', 'x{2,9}y']\nweight = 0.5\n[[rules]]\nname = 'b'\npattern = 'no'\n"
    b"part = 'conversation'\n[[rules]]\nname = 'c'\nspecialty = 'code'\npattern = '(?i)^def .*:$'\n"
    b"multiline = true\nrequires = ['b']\nexcludes = ['a']\n",
    b"[[rules]]\nname = 'v'\nspecialty = 'logic'\npattern = '[\\p{Greek}\\x{3b1}a-z]+(?:a|b)*'\n"
    b"veto = true\nunicode = true\ndotall = true\ncaseless = false\npart = 'system'\n",
    b"rules = []\n",
    b"rules = [{name = 'r', specialty = 'math', pattern = '''a(b[c]{3})|(?#x)d\\d\\w\\s'''}]\n",
)
EXPECTED: tuple[type[Exception], ...] = (RuleError,)
COMPILED_CHARACTERS = 40  # of all patterns together


def decode(data: bytes) -> None:
    rules = parse(data)
    if _short(rules):
        RulesStage(rules)


def _short(rules: RuleSet) -> bool:
    patterns = [pattern for rule in rules.rules for pattern in rule.patterns]
    return sum(map(len, patterns)) <= COMPILED_CHARACTERS and not any("{" in p for p in patterns)

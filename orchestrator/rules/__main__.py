"""``python -m orchestrator.rules``: what `mesh rules check` and `mesh rules mine` become.

Exit codes: 0 clean, 1 the rules have errors, 2 usage or a file that cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from mesh.cli.screen import console, json_page
from mesh.errors import ConfigError, MeshError
from mesh.settings.state import state_dir
from mesh.types import SPECIALTY_PATTERN
from orchestrator.router.compiled import CompiledRules
from orchestrator.router.reload import starter_rules
from orchestrator.router.rule_file import MAX_FILE_BYTES, parse
from orchestrator.rules import proposals, tables
from orchestrator.rules.check import Report, check
from orchestrator.rules.labelled import Labelled, read_labelled
from orchestrator.rules.log_file import read_log
from orchestrator.rules.mine import SLOWER_STAGES, Mined, Wishes, mine


def main(arguments: list[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(given))
    except MeshError as error:
        sys.stderr.write(f"mesh: {' '.join(error.message.split())}\n")
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has enough; nothing more is to be said
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m orchestrator.rules", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    checking = commands.add_parser("check", help="errors, dead rules, conflicts, precision")
    checking.set_defaults(run=_check)
    checking.add_argument("file", type=Path, help="TOML; '-' reads standard input")
    checking.add_argument("--name", help="what reports call standard input")
    checking.add_argument("--strict", action="store_true", help="remarks count as errors")
    checking.add_argument("--quiet", action="store_true", help="only errors")
    checking.add_argument("--some", action="store_true", help="no rules at all is an error")
    mining = commands.add_parser("mine", help="propose rules from a decision log")
    mining.set_defaults(run=_mine)
    mining.add_argument("log", type=Path)
    mining.add_argument("--rules", type=Path, default=starter_rules())
    mining.add_argument("--stage", action="append", choices=[*SLOWER_STAGES, "requested"])
    usual = Wishes()
    mining.add_argument("--confidence", type=float, default=usual.confidence)
    mining.add_argument("--precision", type=float, default=usual.precision)
    mining.add_argument("--lower", type=float, default=usual.lower)
    mining.add_argument("--support", type=int, default=usual.support)
    mining.add_argument("--most", type=int, default=usual.most)
    for command in (checking, mining):
        command.add_argument("--data", type=Path, help="labelled prompts, JSON lines")
        command.add_argument("--same-as", action="append", default=[], metavar="LABEL=SPECIALTY")
        command.add_argument("--json", action="store_true", dest="as_json")
    return parser


def _check(given: argparse.Namespace) -> int:
    content = _read(given.file)
    where = (given.name or "standard input") if str(given.file) == "-" else str(given.file)
    report = check(content, _labelled(given), _cache())
    if given.some and not report.rules and not report.errors:
        raise ConfigError(
            f"{where} has no rules, and the whole fleet would have none; if that is meant, add "
            "--empty (`mesh rules drop` has each orchestrator use its own file again)"
        )
    if given.as_json:
        _print_json(report, errors=report.errors)
    elif not given.quiet:
        tables.show(report, where, console())
    elif report.errors:
        tables.show(report, where, console(sys.stderr))
    wrong = len(report.findings) if given.strict else report.errors
    return 1 if wrong else 0


def _mine(given: argparse.Namespace) -> int:
    rules = parse(_read(given.rules), where=str(given.rules))
    log = read_log(given.log)
    wishes = Wishes(
        stages=tuple(given.stage or SLOWER_STAGES),
        confidence=_share(given.confidence, "--confidence"),
        precision=_share(given.precision, "--precision"),
        lower=_share(given.lower, "--lower"),
        support=_count(given.support, "--support"),
        most=_count(given.most, "--most"),
    )
    mined = mine(log.decisions, rules, wishes, _labelled(given), _cache())
    if given.as_json:
        _print_json(mined, unreadable=log.unreadable)
        return 0
    if mined.proposals:
        sys.stdout.write(proposals.as_toml(mined, given.log.name))
        sys.stdout.flush()
    # Apart from the TOML, so that `mesh rules mine LOG > new.toml` gives a rules file.
    proposals.show(mined, log.unreadable, console(sys.stderr))
    return 0


def _read(path: Path) -> bytes:
    """Raises ``ConfigError``."""
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None


def _labelled(given: argparse.Namespace) -> list[Labelled]:
    same_as: dict[str, str] = {}
    for pair in given.same_as:
        label, _, specialty = pair.partition("=")
        if not SPECIALTY_PATTERN.fullmatch(label) or not SPECIALTY_PATTERN.fullmatch(specialty):
            raise ConfigError(f"--same-as '{pair}': write LABEL=SPECIALTY, as in units=math")
        same_as[label] = specialty
    return read_labelled(given.data, same_as) if given.data is not None else []


def _share(value: float, flag: str) -> float:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{flag} must be 0 to 1, not {value}")
    return value


def _count(value: int, flag: str) -> int:
    if value < 1:
        raise ConfigError(f"{flag} must be at least 1, not {value}")
    return value


def _cache() -> CompiledRules:
    """Not the orchestrators' own, whose newest files must stay. Under the default state folder."""
    return CompiledRules(state_dir() / "cache" / "rules-check")


def _print_json(result: Report | Mined, **more: Any) -> None:
    data = msgspec.to_builtins(result) | more
    sys.stdout.write(json_page(data) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

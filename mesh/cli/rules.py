"""`mesh rules`: the router's rules as something to check, try, hand out and learn.

Checking and mining need the rules engine, which is the orchestrator's: those commands become
``python -m orchestrator.rules``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import click

from mesh.cleaned import harmless
from mesh.cli.group import Group
from mesh.cli.options import Duration, HostPort, json_option
from mesh.errors import ConfigError
from mesh.extras import require
from mesh.settings.addresses import DEFAULT_ETCD

_MODULE = "orchestrator.rules"
NO_RULES = b"rules = []\n"
CHECK_S = 90.0  # more than an orchestrator takes for compiling

etcd_option = click.option(
    "--etcd",
    type=HostPort(several=True),
    metavar="HOST:PORT",
    default=DEFAULT_ETCD,
    show_default=True,
    help="The registry, or several by comma.",
)
prefix_option = click.option(
    "--prefix", metavar="KEY", default="/mesh/v1", show_default=True, help="Of the mesh's keys."
)
data_option = click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.jsonl",
    help='Labelled prompts to measure on: {"prompt": ..., "label": ...} a line.',
)
same_as_option = click.option(
    "--same-as",
    multiple=True,
    metavar="LABEL=SPECIALTY",
    help="A label that counts as another, as in units=math. Repeatable.",
)


@click.group(cls=Group)
def rules() -> None:
    """Check, hand out and mine the rules by which the router decides."""


@rules.command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@data_option
@same_as_option
@click.option("--strict", is_flag=True, help="Exit with 1 for remarks too, not for errors alone.")
@json_option("Findings and figures as JSON.")
def check(
    file: Path, data: Path | None, same_as: tuple[str, ...], strict: bool, as_json: bool
) -> None:
    """Report errors in FILE (`-`: standard input), and with --data what each rule is worth.

    Errors are broken patterns and keys, and rules that can never count or never win. Remarks are
    rules that never fire, that another shadows, or that conflict. Exit code 1 when there are
    errors.
    """
    arguments = ["check", *_data_flags(data, same_as)]
    arguments += ["--strict"] if strict else []
    _become(*arguments, *(["--json"] if as_json else []), "--", str(file))


@rules.command()
@click.argument("log", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--rules",
    "rules_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.toml",
    help="The rules as they are.  [default: those that ship]",
)
@data_option
@same_as_option
@click.option(
    "--stage",
    "stages",
    multiple=True,
    type=click.Choice(["classifier", "embedding", "judge", "requested"]),
    help="Whose decisions to mine. Repeatable.  [default: all but requested]",
)
@click.option("--confidence", type=float, help="Of those decisions, at least.  [default: 0.8]")
@click.option("--precision", type=float, help="Of a proposal, at least.  [default: 0.95]")
@click.option("--lower", type=float, help="Its 95% lower bound, at least.  [default: 0.75]")
@click.option("--support", type=int, help="Prompts that only it covers.  [default: 10]")
@click.option("--most", type=int, help="Proposals.  [default: 50]")
@json_option("Proposals and their figures as JSON.")
def mine(
    log: Path,
    rules_file: Path | None,
    data: Path | None,
    same_as: tuple[str, ...],
    stages: tuple[str, ...],
    confidence: float | None,
    precision: float | None,
    lower: float | None,
    support: int | None,
    most: int | None,
    as_json: bool,
) -> None:
    """Propose rules from LOG, which orchestrators write when router.log.file is set.

    Prints TOML to paste, and a table on standard error. No file is changed.

    \b
    mesh rules mine decisions.jsonl --rules rules.toml --data labelled.jsonl > proposals.toml
    """
    arguments = ["mine", *_data_flags(data, same_as)]
    arguments += ["--rules", str(rules_file)] if rules_file else []
    for stage in stages:
        arguments += ["--stage", stage]
    for flag, value in (
        ("--confidence", confidence),
        ("--precision", precision),
        ("--lower", lower),
        ("--support", support),
        ("--most", most),
    ):
        arguments += [flag, str(value)] if value is not None else []
    _become(*arguments, *(["--json"] if as_json else []), "--", str(log))


@rules.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--wait",
    type=Duration(zero=True),
    metavar="TIME",
    default=15.0,
    help="For orchestrators to use them: 30, 2m; 0: do not.  [default: 15s]",
)
@click.option("--empty", is_flag=True, help="FILE may have no rules: the fleet is to have none.")
@click.option("--yes", is_flag=True, help="Do not ask when rules in use are not in FILE.")
@etcd_option
@prefix_option
def push(file: Path, wait: float, empty: bool, yes: bool, etcd: str, prefix: str) -> None:
    """Check FILE and make it the rules of the whole fleet, until `mesh rules drop`.

    Writes the registry's key config/rules, which wins over each orchestrator's own file, and waits
    until all of them use it. Says what changes, and asks first when rules go that are in use.
    """
    require("orchestrator")
    from mesh.cli.rules_fleet import push_rules, rules_in_use
    from mesh.cli.rules_replaced import allowed

    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    try:
        checked = subprocess.run(
            _command(
                "check", "--quiet", *([] if empty else ["--some"]), f"--name={file}", "--", "-"
            ),
            input=content,
            check=False,
            timeout=CHECK_S,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"{file}: compiling takes more than {CHECK_S:g} s, and orchestrators refuse what takes "
            "so long; counted gaps such as .{0,40} multiply: count lower, or use '.*'"
        ) from None
    if checked.returncode:
        sys.exit(checked.returncode)  # it has said why
    # Orchestrators take what is blank for a file that is being written, and keep what they have.
    content = content if content.strip() else NO_RULES
    allowed(asyncio.run(rules_in_use(etcd, prefix)), content, yes=yes)
    sys.exit(asyncio.run(push_rules(content, etcd, prefix, wait)))


@rules.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@etcd_option
@prefix_option
def pull(file: Path | None, etcd: str, prefix: str) -> None:
    """Print the rules that the registry has for the fleet, or write them to FILE."""
    require("orchestrator")
    from mesh.cli.rules_fleet import pull_rules

    content = asyncio.run(pull_rules(etcd, prefix))
    if file is None:
        if sys.stdout.isatty():
            sys.stdout.write(harmless(content.decode("utf-8", "replace")))
        else:
            sys.stdout.buffer.write(content)
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from None
    click.echo(f"{len(content):,} bytes to {file}")


@rules.command()
@etcd_option
@prefix_option
def drop(etcd: str, prefix: str) -> None:
    """Remove the rules from the registry: each orchestrator uses its own file again."""
    require("orchestrator")
    from mesh.cli.rules_fleet import drop_rules

    gone = asyncio.run(drop_rules(etcd, prefix))
    click.echo("removed" if gone else "there were none")


@rules.command()
@json_option("Versions as JSON.")
@etcd_option
@prefix_option
def show(as_json: bool, etcd: str, prefix: str) -> None:
    """Show which version of the rules the registry has, and which each orchestrator uses."""
    require("orchestrator")
    from mesh.cli.rules_fleet import show_rules

    asyncio.run(show_rules(etcd, prefix, as_json=as_json))


def _data_flags(data: Path | None, same_as: tuple[str, ...]) -> list[str]:
    flags = ["--data", str(data)] if data else []
    return flags + [part for pair in same_as for part in ("--same-as", pair)]


def _command(*arguments: str) -> list[str]:
    """``-P``: a folder of that name where the user stands must not be taken for ours."""
    require("orchestrator")
    return [sys.executable, "-P", "-m", _MODULE, *arguments]


def _become(*arguments: str) -> NoReturn:
    """Replaces this process: output and exit code are then the tool's own."""
    command = _command(*arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(command[0], command)

"""The `mesh` group: what holds for every command, errors and exit codes above all."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click

from mesh import preflight
from mesh.box import refusal
from mesh.cleaned import cleaned
from mesh.cli.group import Group
from mesh.cli.options import endpoint_option
from mesh.errors import LONGEST_MESSAGE, MeshError, leaf
from mesh.version import __version__

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it

# Name -> module in mesh.cli. Loaded when asked for, so that `mesh --version` stays instant.
COMMANDS = (
    "up",
    "down",
    "chat",
    "chats",
    "ask",
    "route",
    "status",
    "models",
    "load",
    "unload",
    "engine",
    "node",
    "orchestrator",
    "embed",
    "rules",
    "bench",
    "demo",
    "completion",
)
SERVERS = ("up", "node", "orchestrator")


class MeshGroup(Group):
    """Loads commands lazily and turns every exception into one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in self.list_commands(ctx) or name[:1] == "-" or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        from difflib import get_close_matches

        near = get_close_matches(name.lower(), self.list_commands(ctx), n=1)
        meant = f"; did you mean '{near[0]}'?" if near else ""
        asks = len(args) > 1 or " " in name
        raise click.UsageError(
            f"there is no command '{name}'{meant}"
            + ("; a prompt goes after `mesh ask`" if asks else ""),
            ctx,
        )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if not ctx.resilient_parsing:
            preflight.check(preflight.PROCESS if cmd_name in SERVERS else preflight.CLIENT)
        command = getattr(importlib.import_module(f"mesh.cli.{cmd_name}"), cmd_name)
        if not isinstance(command, click.Command):
            raise TypeError(f"mesh.cli.{cmd_name} has no command of its name")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            known = leaf(error)
            if isinstance(known, BrokenPipeError):
                raise known from None
            if isinstance(known, MeshError):
                complain(one_line(known), known.exit_code)
            if (refused := refusal(known)) is not None:
                complain(refused, 1)
            described = f"{type(known).__name__}: {known}".rstrip(": ")
            complain(f"{described}; run with --debug for the traceback", 1)

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        extra |= {"standalone_mode": False}  # the exceptions come here, not to click's own handler
        try:
            code = super().main(*args, **extra)
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.ctx.get_help() if error.ctx else "", err=True)
            sys.exit(error.exit_code)
        except click.UsageError as error:
            where = error.ctx.command_path if error.ctx else "mesh"
            complain(f"{misused(error)}; see `{where} --help`", error.exit_code)
        except click.ClickException as error:
            complain(error.format_message(), error.exit_code)
        except (click.Abort, KeyboardInterrupt) as error:
            if isinstance(error.__cause__, EOFError):  # click takes any for a Ctrl-D at a prompt
                complain(
                    f"{error.__cause__} (a file that Python compiled was cut, by a full disk say): "
                    f"delete {Path(__file__).parents[1]}/**/__pycache__, or install it again",
                    1,
                )
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # whoever read us has enough (`mesh ask | head -1`)
            _let_go(sys.stdout)
            sys.exit(1)
        except OSError as error:  # a full disk, a file that may not grow
            _let_go(sys.stdout)
            complain(f"the output cannot be written: {error.strerror}", 1)
        sys.exit(code if isinstance(code, int) else 0)


def misused(error: click.UsageError) -> str:
    """What was wrong, with the likeliest word for one that there is not."""
    near = getattr(error, "possibilities", None)
    if not near:
        return error.format_message().rstrip(".")
    return f"{error.message.rstrip('.')}; did you mean '{near[0]}'?"


def one_line(error: MeshError) -> str:
    retry = error.retry_after_s
    hint = f" (try again in {retry:g} s)" if retry else ""
    return error.message + hint


def complain(message: str, code: int) -> NoReturn:
    """One line on standard error, then exit with ``code``."""
    try:
        click.echo(f"mesh: {cleaned(message, LONGEST_MESSAGE)}", err=True)
    except OSError:  # nobody can be told
        _let_go(sys.stderr)
    sys.exit(code)


def _let_go(stream: TextIO) -> None:
    """Python flushes once more at exit, and that must not complain either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from mesh import v1
    from mesh.fleet.records import PROTOCOL_VERSION

    click.echo(f"mesh {__version__}")
    click.echo(f"protocols: clients {v1.__name__}, data plane {PROTOCOL_VERSION}")
    context.exit()


@click.group(
    cls=MeshGroup,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version, and the protocols that it speaks.",
)
@endpoint_option(envvar="MESH_ENDPOINT")
@click.option("--debug", is_flag=True, help="Show a traceback where something breaks.")
def cli(endpoint: str | None, debug: bool) -> None:
    """A peer-to-peer inference mesh for the GPU boxes that people already own.

    Exit codes: 0 ok, 2 usage or settings, 3 nobody can serve it, 4 mesh unreachable, 5 deadline
    passed, 130 interrupted, 1 anything else.
    """


def main() -> NoReturn:
    """The console script."""
    # gRPC's C core writes notes on every connection that ends to standard error, where people look
    # for our one line; it reads nothing but the environment, once, when it is first imported.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    preflight.open_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that is not UTF-8 shows `?` for what it cannot; it does not end the answer.
            stream.reconfigure(errors="replace")
    cli.main(prog_name="mesh")

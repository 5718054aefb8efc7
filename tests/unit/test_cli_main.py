"""What holds for every command: version, errors, exit codes, the reference page."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mesh.cli import reference
from mesh.cli.main import COMMANDS, MeshGroup, cli
from mesh.cli.options import chosen_endpoint, endpoint_option
from mesh.errors import BY_CODE, MeshError
from mesh.fleet.records import PROTOCOL_VERSION
from mesh.local import run_file
from mesh.v1 import mesh_pb2
from mesh.version import __version__


def group_with(command: click.Command) -> click.Group:
    """The real group, with one command that a test made."""

    class One(MeshGroup):
        def list_commands(self, ctx: click.Context) -> list[str]:
            return ["go"]

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            return command

    return One("mesh", params=list(cli.params), callback=cli.callback)


def raising(error: BaseException) -> click.Group:
    @click.command()
    def go() -> None:
        raise error

    return group_with(go)


def test_the_version_is_printed_with_its_protocols() -> None:
    """Parts of one mesh must agree on these, not on the version."""
    result = CliRunner().invoke(cli, ["--version"])
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        [
            f"mesh {__version__}",
            f"protocols: clients {mesh_pb2.DESCRIPTOR.package}, data plane {PROTOCOL_VERSION}",
        ],
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_mesh_error_is_one_line_with_its_exit_code(code: str) -> None:
    kind = BY_CODE[code]
    result = CliRunner().invoke(raising(kind("it broke\nin two lines")), ["go"])
    assert result.exit_code == kind.exit_code
    assert result.stderr == "mesh: it broke in two lines\n"


def test_an_error_inside_a_task_group_is_told_the_same() -> None:
    inner = ExceptionGroup("tasks", [ExceptionGroup("more", [ValueError(), MeshError("mine")])])
    result = CliRunner().invoke(raising(inner), ["go"])
    assert (result.exit_code, result.stderr) == (1, "mesh: mine\n")


def test_an_unknown_exception_is_one_line_that_names_debug() -> None:
    result = CliRunner().invoke(raising(KeyError("x")), ["go"])
    assert result.exit_code == 1
    assert result.stderr == "mesh: KeyError: 'x'; run with --debug for the traceback\n"


def test_debug_lets_the_exception_through() -> None:
    result = CliRunner().invoke(raising(KeyError("x")), ["--debug", "go"])
    assert isinstance(result.exception, KeyError)


def test_an_interrupt_is_quiet_and_exits_130() -> None:
    result = CliRunner().invoke(raising(KeyboardInterrupt()), ["go"])
    assert (result.exit_code, result.output.strip()) == (130, "")


def test_an_unknown_command_is_exit_code_2() -> None:
    result = CliRunner().invoke(cli, ["fly"])
    assert result.exit_code == 2
    assert "fly" in result.stderr


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (["stauts"], "there is no command 'stauts'; did you mean 'status'?"),
        (["Ask", "hi"], "there is no command 'Ask'; did you mean 'ask'?"),
        (["fly"], "there is no command 'fly'; see `"),
        (["what", "is", "1 + 1"], "a prompt goes after `mesh ask`"),
        (["models", "pul", "x"], "did you mean 'pull'?"),
        (["status", "--modles"], "did you mean '--models'?"),
        (["--endpiont", "x", "status"], "did you mean '--endpoint'?"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_one_that_was_meant(
    said: list[str], wanted: str
) -> None:
    result = CliRunner().invoke(cli, said)
    assert result.exit_code == 2
    assert wanted in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "environment", "wanted"),
    [
        (["go"], None, "127.0.0.1:7700"),
        (["go"], "a:1", "a:1"),
        (["--endpoint", "b:2", "go"], "a:1", "b:2"),
        (["--endpoint", "b:2", "go", "--endpoint", "c:3,d:4"], "a:1", "c:3,d:4"),
        (["go", "--endpoint", "[::1]:7700"], None, "[::1]:7700"),
    ],
)
def test_the_nearest_endpoint_wins(
    arguments: list[str], environment: str | None, wanted: str
) -> None:
    @click.command()
    @endpoint_option()
    def go(endpoint: str | None) -> None:
        click.echo(chosen_endpoint(endpoint))

    result = CliRunner().invoke(group_with(go), arguments, env={"MESH_ENDPOINT": environment})
    assert result.stdout.strip() == wanted


@pytest.mark.parametrize("wrong", ["nowhere", "host:", ":7700", "host:99999", "http://host:1", ""])
def test_an_endpoint_that_is_none_is_exit_code_2(wrong: str) -> None:
    result = CliRunner().invoke(cli, ["--endpoint", wrong, "status"])
    assert result.exit_code == 2
    assert "HOST:PORT" in result.stderr


def test_the_reference_page_is_up_to_date() -> None:
    assert reference.main(["--check"]) == 0


@pytest.mark.parametrize("said", [(), ("--endpoint", "127.0.0.1:5")])
def test_commands_ask_the_mesh_that_was_started_here_unless_told_otherwise(
    said: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path))
    run_file.write(tmp_path, run_file.own("127.0.0.1:3", "127.0.0.1:4", now=0.0, detached=False))
    result = CliRunner().invoke(cli, ["status", *said])
    assert (said[1] if said else "127.0.0.1:3") in result.output


def test_what_is_said_to_stop_a_mesh_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path))
    assert run_file.down_command(tmp_path) == "mesh down"
    other = tmp_path / "my other"
    assert run_file.down_command(other) == f"mesh down --state-dir '{other}'"
    assert (
        f"`mesh down --state-dir '{other}'`"
        in run_file.already_running(
            run_file.own("127.0.0.1:3", "127.0.0.1:4", now=0.0, detached=False), other
        ).message
    )


@pytest.mark.parametrize("columns", [60, 80, 200])
@pytest.mark.parametrize("group", [(), ("models",), ("rules",), ("demo",), ("engine",), ("chats",)])
def test_what_a_command_does_is_listed_whole(group: tuple[str, ...], columns: int) -> None:
    result = CliRunner().invoke(cli, [*group, "--help"], terminal_width=columns)

    _, listed = result.stdout.split("Commands:\n")
    assert "..." not in listed
    assert all(len(line) <= columns for line in listed.splitlines())

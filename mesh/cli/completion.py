"""`mesh completion`: what a shell needs to complete commands, options and the fleet's names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from mesh.errors import ConfigError, InternalError
from mesh.files import SHOWN, write_whole

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_MESH_COMPLETE"  # click's own, by which a shell asks for words


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--install", is_flag=True, help="Write it where that shell looks, and say where.")
def completion(shell: str, install: bool) -> None:
    """Print the completion script of a shell, for commands, options, models and specialties.

    \b
    mesh completion bash --install
    eval "$(mesh completion zsh)"          # or in ~/.zshrc
    """
    script = script_for(shell)
    if not install:
        click.echo(script)
        return
    path, then = place(shell, Path.home(), os.environ)
    if _holds(path, script):
        click.echo(f"{path} has it already; {then}")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path.resolve(), f"{script}\n".encode(), mode=SHOWN)  # dotfiles may be links
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    click.echo(f"wrote {path}; {then}")


def script_for(shell: str) -> str:
    """Click's script for it."""
    from mesh.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise InternalError(f"click has no completion for {shell}")
    return kind(cli, {}, "mesh", VARIABLE).source().strip()


def place(shell: str, home: Path, environment: Mapping[str, str]) -> tuple[Path, str]:
    """Where that shell looks by itself, and what is to be done then."""
    data = _base(environment.get("XDG_DATA_HOME"), home / ".local" / "share")
    config = _base(environment.get("XDG_CONFIG_HOME"), home / ".config")
    match shell:
        case "bash":  # the package bash-completion loads it by the command's name
            path = data / "bash-completion" / "completions" / "mesh"
            return path, f"a new shell has it where bash-completion is installed, else: . {path}"
        case "fish":
            return config / "fish" / "completions" / "mesh.fish", "a new shell has it"
        case _:
            folder = data / "zsh" / "site-functions"
            return folder / "_mesh", (f"in ~/.zshrc, before compinit, say: fpath=({folder} $fpath)")


def _base(said: str | None, usual: Path) -> Path:
    """A relative path is none (XDG Base Directory Specification)."""
    return Path(said) if said and Path(said).is_absolute() else usual


def _holds(path: Path, script: str) -> bool:
    try:
        return path.read_text(encoding="utf-8").strip() == script
    except (OSError, UnicodeDecodeError):
        return False

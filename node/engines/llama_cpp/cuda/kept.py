"""Builds of llama.cpp that were made here, and which of them is used.

One is a folder of the box's state, ``engines/llama_cpp/NAME``: the Python package as it was
compiled, beside ``build.json``. The file ``engines/llama_cpp/used`` names one, and is absent where
the installed one, PyPI's for the CPU, is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from mesh.cleaned import cleaned
from mesh.errors import ConfigError
from mesh.files import SHOWN, read_whole, write_whole
from mesh.settings.state import state_dir

DISTRIBUTION = "llama-cpp-python"
VARIABLE = "SQUADRON_LLAMA_CPP"  # of a runner's environment: the folder to import it from
_ABOUT = "build.json"
_USED = "used"
_MOST_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """``version``: of ``llama-cpp-python``. ``cards``: in words, that it was made for. ``minutes``:
    that it took. ``tried``: what the trial said of it."""

    name: str
    version: str
    cards: tuple[str, ...] = ()
    minutes: float = 0.0
    tried: str = ""


def folder() -> Path:
    """Raises ``ConfigError`` where this user has no state folder."""
    return state_dir() / "engines" / "llama_cpp"


def place(name: str) -> Path:
    return folder() / name


def package(name: str) -> Path:
    return place(name) / "llama_cpp"


def builds() -> tuple[Built, ...]:
    """Those that are whole, by name."""
    try:
        places = sorted(folder().iterdir())
    except OSError:
        return ()
    return tuple(built for each in places if (built := _read(each)) is not None)


def used() -> Built | None:
    """None: the installed one."""
    name = _chosen()
    return next((built for built in builds() if built.name == name), None)


def use(name: str | None) -> None:
    """None: the installed one. Nodes take it up with their next runner. Raises ``ConfigError``."""
    try:
        _use(name)
    except OSError as error:
        raise ConfigError(f"cannot choose in {folder()}: {error.strerror or error}") from None


def _use(name: str | None) -> None:
    link = folder() / _USED
    if name is None:
        link.unlink(missing_ok=True)
        return
    known = [built.name for built in builds()]
    if name not in known:
        there = f"there are cpu, {', '.join(known)}" if known else "there is only cpu"
        raise ConfigError(f"no build is called '{name}'; {there}")
    write_whole(link, f"{name}\n".encode(), mode=SHOWN)


def keep(folder: Path, built: Built) -> None:
    """Marks the build in ``folder`` as whole. Raises ``OSError``."""
    about = msgspec.json.format(msgspec.json.encode(built))
    write_whole(folder / _ABOUT, about, mode=SHOWN)


def in_use() -> tuple[Path | None, str]:
    """The folder that runners import it from, None for the installed package; and why not the one
    that was chosen, "" for no reason."""
    built = used()
    if built is None:
        if not (name := cleaned(_chosen(), 80)):
            return None, ""
        return None, (
            f"the build {name} that was chosen is gone or damaged: `mesh engine build` makes it "
            "anew, `mesh engine use cpu` chooses the installed one"
        )
    try:
        installed = version(DISTRIBUTION)
    except PackageNotFoundError:
        return None, ""
    if built.version != installed:
        return None, (
            f"the build {built.name} is of {DISTRIBUTION} {built.version}, and {installed} is "
            "installed now: `mesh engine build` makes it anew"
        )
    return place(built.name), ""


def _chosen() -> str:
    """A build's name, "" for the installed one."""
    try:
        return read_whole(folder() / _USED, _MOST_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError, ConfigError):
        return ""


def _read(folder: Path) -> Built | None:
    try:
        built = msgspec.json.decode(read_whole(folder / _ABOUT, _MOST_BYTES), type=Built)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return built if built.name == folder.name else None

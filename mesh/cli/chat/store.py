"""Conversations as files of the state folder, a file each, for this user only.

A file is replaced whole or not at all, so that neither a full disk nor a power cut damages one, and
what cannot be read is left as it is. Who adds to a conversation holds it (``held``, ``claimed``):
of two processes on the same one, the later would lose the turns of the earlier.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import msgspec

from mesh.box import refusal
from mesh.cli.chat.saved import SavedChat, Turn
from mesh.errors import ConfigError
from mesh.files import PRIVATE, is_still, read_whole, write_whole
from mesh.identity import NAME_PATTERN, check_name

VERSION = 1
MAX_CHAT_BYTES = 64 * 1024 * 1024
_SUFFIX = ".json"


class _File(msgspec.Struct, kw_only=True):
    """What a file holds. A conversation's name is its file's, so that one may be copied."""

    version: int
    created: float
    changed: float
    system: str | None = None
    model: str | None = None
    specialty: str | None = None
    turns: tuple[Turn, ...] = ()


class OpenElsewhere(ConfigError):
    """Somebody is adding to that conversation."""


class ChatStore:
    """The conversations of one folder, which need not be there yet. Blocks on the disk. Every
    method that takes a name raises ``ConfigError`` for what can be none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> tuple[str, ...]:
        """Of all that are kept, damaged ones too; the last changed first."""
        found: list[tuple[float, str]] = []
        try:
            for entry in os.scandir(self.folder):
                name = entry.name.removesuffix(_SUFFIX)
                if name != entry.name and NAME_PATTERN.fullmatch(name):
                    with suppress(FileNotFoundError):  # removed just now
                        found.append((entry.stat().st_mtime, name))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._refused("read", error) from None
        return tuple(name for _, name in sorted(found, reverse=True))

    def latest(self) -> str | None:
        """The name of the last changed one, None where none is kept."""
        return next(iter(self.names()), None)

    def load(self, name: str) -> SavedChat:
        """Raises ``ConfigError`` for a name that is not there, and for a file that is damaged."""
        path = self._path(name)
        try:
            data = read_whole(path, MAX_CHAT_BYTES)
        except FileNotFoundError:
            raise ConfigError(
                f"there is no conversation '{name}'; `mesh chats` lists those that are kept"
            ) from None
        except OSError as error:
            raise self._refused("read", error, path) from None
        if len(data) > MAX_CHAT_BYTES:
            raise _damaged(path, f"it is over {MAX_CHAT_BYTES // 2**20} MiB")
        try:
            found = msgspec.json.decode(data, type=_File)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _damaged(path, str(error)) from None
        if found.version > VERSION:
            raise ConfigError(f"{path} was written by a newer Squadron; upgrade this one")
        return SavedChat(
            name=name,
            created=found.created,
            changed=found.changed,
            system=found.system,
            model=found.model,
            specialty=found.specialty,
            turns=found.turns,
        )

    def save(self, chat: SavedChat) -> None:
        """Whole or not at all; who saves holds ``chat.name``. Raises ``ConfigError`` where the box
        refuses it."""
        path = self._path(chat.name)
        file = _File(
            version=VERSION,
            created=chat.created,
            changed=chat.changed,
            system=chat.system,
            model=chat.model,
            specialty=chat.specialty,
            turns=chat.turns,
        )
        data = msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n"
        try:
            self._prepare()
            write_whole(path, data)
        except OSError as error:
            raise self._refused("keep", error) from None

    def delete(self, name: str) -> None:
        """Raises ``ConfigError`` where there is none, and where somebody is adding to it."""
        path = self._path(name)
        if not path.exists():
            self.load(name)  # says so
        with self.held(name):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise self._refused("delete", error, path) from None

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Nobody else adds to this conversation meanwhile, whatever ends this process. Raises
        ``ConfigError`` where somebody does."""
        lock = self._path(name).with_name(f".{name}.lock")
        try:
            self._prepare()
            file = _locked(lock)
        except OSError as error:
            raise self._refused("keep", error) from None
        if file is None:
            raise OpenElsewhere(
                f"the conversation '{name}' is open elsewhere{_by(lock)}; end it there, or begin "
                "a new one"
            )
        try:
            yield
        finally:
            with suppress(OSError):
                lock.unlink()
            os.close(file)

    @contextmanager
    def claimed(self, wish: str) -> Iterator[str]:
        """Holds a name that nobody has: ``wish``, or ``wish-2`` and so on."""
        for number in count(1):
            name = wish if number == 1 else f"{wish}-{number}"
            if self.taken(name):
                continue
            try:
                holding = self.held(name)
                holding.__enter__()
            except OpenElsewhere:
                continue
            try:
                if self.taken(name):  # by one that has ended since
                    continue
                yield name
                return
            finally:
                holding.__exit__(None, None, None)

    def taken(self, name: str) -> bool:
        """Whether there is a file of that name, whatever is in it."""
        return os.path.lexists(self._path(name))

    def moved(self, chat: SavedChat, name: str) -> SavedChat:
        """The same under another name, which is held; its file goes along, where there is one."""
        renamed = replace(chat, name=name)
        self.save(renamed)
        if chat.name and chat.name != name:
            with suppress(OSError):
                self._path(chat.name).unlink()
        return renamed

    def _path(self, name: str) -> Path:
        check_name("conversation", name)
        return self.folder / f"{name}{_SUFFIX}"

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _refused(self, what: str, error: OSError, path: Path | None = None) -> ConfigError:
        why = refusal(error) or f"{error.strerror}: {path or self.folder}"
        return ConfigError(f"cannot {what} conversations: {why}")


def _locked(path: Path) -> int | None:
    """The open lock file; None where another process has it. One that was deleted under us by who
    gave it back is no lock: then it is made again."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_still(file, path):
                with suppress(OSError):  # on a full disk it holds all the same, without saying who
                    os.truncate(file, 0)
                    os.write(file, f"{os.getpid()}\n".encode())
                return file
        except BlockingIOError:
            os.close(file)
            return None
        except OSError:
            os.close(file)
            raise
        os.close(file)


def _by(lock: Path) -> str:
    try:
        pid = lock.read_text(encoding="ascii", errors="ignore").strip()
    except OSError:
        return ""
    return f" (pid {pid})" if pid.isdigit() else ""


def _damaged(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{path} is damaged: {why}; it is left as it is, mend it or remove it with `mesh chats rm "
        f"{path.stem}`"
    )

"""Which conversation this chat adds to, and that nobody else does meanwhile."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from mesh.cli.chat.saved import SavedChat, name_from
from mesh.cli.chat.store import ChatStore
from mesh.errors import ConfigError


class Keeper:
    """Holds at most one conversation of ``store``. ``keeps`` False: nothing is written, until
    ``save`` is asked for. Every method may raise ``ConfigError``, and then nothing has changed."""

    def __init__(self, store: ChatStore, *, keeps: bool = True) -> None:
        self.store = store
        self.keeps = keeps
        self._hold = ExitStack()
        self._name = ""  # of what is held

    def open(self, name: str) -> SavedChat:
        """Goes on with a kept conversation, instead of the one before."""
        if name == self._name:
            return self.store.load(name)
        with ExitStack() as hold:
            if self.store.taken(name):
                hold.enter_context(self.store.held(name))
            chat = self.store.load(name)
            self._swap(hold, name)
        self.keeps = True
        return chat

    def keep(self, chat: SavedChat) -> SavedChat:
        """As it is now, under the name that it has or, at its first turn, gets."""
        if not self.keeps or not (chat.turns or chat.name):
            return chat
        if chat.name:
            self.store.save(chat)
            return chat
        with ExitStack() as hold:
            name = hold.enter_context(self.store.claimed(name_from(chat.turns[0].prompt)))
            named = replace(chat, name=name)
            self.store.save(named)
            self._swap(hold, name)
        return named

    def save(self, chat: SavedChat, name: str) -> SavedChat:
        """Under ``name`` from now on; "": as ``keep``."""
        if not name or name == chat.name:
            keeps, self.keeps = self.keeps, True
            try:
                return self.keep(chat)
            except ConfigError:
                self.keeps = keeps
                raise
        with ExitStack() as hold:
            hold.enter_context(self.store.held(name))
            if self.store.taken(name):
                raise ConfigError(
                    f"there is a conversation '{name}' already; /load {name} goes on with it, or "
                    "give another name"
                )
            named = self.store.moved(chat, name)
            self._swap(hold, name)
        self.keeps = True
        return named

    def release(self) -> None:
        """Whoever wants it may have it."""
        self._hold.close()
        self._name = ""

    def _swap(self, hold: ExitStack, name: str) -> None:
        before, self._hold, self._name = self._hold, hold.pop_all(), name
        before.close()

"""The loop of a chat: reads a line, asks ``state`` what follows from it, and does that."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import Any, Protocol, assert_never

from mesh.cli.chat import clipboard
from mesh.cli.chat.asking import Door, Outcome, ask, until_interrupted
from mesh.cli.chat.attaching import attached
from mesh.cli.chat.effects import (
    Ask,
    Attach,
    Begin,
    Copy,
    Edit,
    Effect,
    Help,
    Keep,
    Leave,
    ListKept,
    Load,
    Save,
    Say,
    Stats,
    Tone,
    Why,
)
from mesh.cli.chat.fleet import known
from mesh.cli.chat.keeping import Keeper
from mesh.cli.chat.state import Known, State, answered, step, unanswered
from mesh.cli.chat.stats import stats
from mesh.cli.chat.view import OUTGROWN, View, commands_table
from mesh.cli.chat.why import why
from mesh.clock import Clock
from mesh.errors import ConfigError, ContextOverflow, MeshError
from mesh.sizes import in_words

_LISTED = 10
_NAMING = ("/model ", "/specialty ")  # what they name is looked for in the fleet


class Lines(Protocol):
    """Where lines come from."""

    async def line(self, label: str, text: str) -> str:
        """Raises ``EOFError`` at the end, ``KeyboardInterrupt`` for Ctrl-C."""
        ...


class Chat:
    """``options``: of every request. ``stops``: an error ends it, as where nobody sits there."""

    def __init__(
        self,
        door: Door,
        keeper: Keeper,
        lines: Lines,
        view: View,
        clock: Clock,
        *,
        options: dict[str, Any],
        stops: bool = False,
    ) -> None:
        self._door = door
        self._keeper = keeper
        self._lines = lines
        self._view = view
        self._clock = clock
        self._options = options
        self._stops = stops
        self._text = ""  # at the next prompt
        self._unkept = ""  # why the conversation is not kept, as it was said
        self._left = False

    async def run(self, state: State) -> None:
        """Until its reader leaves. Raises the ``MeshError`` that ended it, where it ``stops``."""
        with self._view.undisturbed():
            await self._run(state)

    async def _run(self, state: State) -> None:
        while not self._left:
            text, self._text = self._text, ""
            try:
                line = await self._lines.line(_label(state), text)
            except EOFError:
                return
            except KeyboardInterrupt:
                self._view.say("Ctrl-D or /exit leaves")
                continue
            there = Known()
            if line.startswith(_NAMING):
                there = await self._known()
            state, effects = step(state, line, there)
            state = await self._all(state, effects)

    async def _all(self, state: State, effects: tuple[Effect, ...]) -> State:
        for effect in effects:
            try:
                state = await self._do(state, effect)
            except ConfigError as error:
                if self._stops:
                    raise
                self._view.say(error.message, Tone.WARNING)
        return state

    async def _do(self, state: State, effect: Effect) -> State:
        match effect:
            case Say(text=text, tone=Tone.WARNING) if self._stops:
                raise ConfigError(text)
            case Say(text=text, tone=tone):
                self._view.say(text, tone)
            case Ask():
                return await self._ask(state, effect)
            case Keep():
                return self._keep(state)
            case Edit(text=text):
                self._text = text
            case Attach(path=path):
                added = attached(path)
                size = in_words(len(added.text.encode()))
                self._view.say(f"{added.name} ({size}) goes with the next prompt")
                return replace(state, attached=(*state.attached, added))
            case Copy(text=text, what=what):
                await self._copy(text, what)
            case Save(name=name):
                return self._save(state, name)
            case Load(name=name):
                return self._load(name)
            case ListKept():
                self._list()
            case Begin():
                self._keeper.release()
                self._view.say("a new conversation")
            case Help():
                self._view.show(commands_table())
            case Why():
                await until_interrupted(why(self._door, state, self._view))
            case Stats():
                for line in stats(state.chat, await self._known()):
                    self._view.say(line)
            case Leave():
                self._left = True
            case _:
                assert_never(effect)
        return state

    async def _ask(self, state: State, effect: Ask) -> State:
        asking = effect.asking
        outcome = Outcome(prompt=asking.prompt, asked=self._clock.wall())
        shown = self._view.answer()
        options = self._options | _named(state)
        if asking.fresh:
            options["cacheable"] = False
        await until_interrupted(
            ask(self._door, effect.messages, options, shown, outcome, self._clock)
        )
        shown.end()
        self._view.closing(outcome)
        if outcome.error is not None:
            if self._stops:
                raise outcome.error
            self._tell(outcome.error)
        turn = outcome.turn
        if turn is None:
            state, effects = unanswered(state, asking)
        else:
            state, effects = answered(state, asking, turn, outcome.decision)
        return await self._all(state, effects)

    async def _known(self) -> Known:
        found = Known()

        async def look() -> None:
            nonlocal found
            found = await known(self._door)

        await until_interrupted(look())
        return found

    def _tell(self, error: MeshError) -> None:
        hint = f" (try again in {error.retry_after_s:g} s)" if error.retry_after_s else ""
        if isinstance(error, ContextOverflow):
            hint = f"; {OUTGROWN}"
        self._view.say(f"mesh: {error.message}{hint}", Tone.WARNING)

    def _keep(self, state: State) -> State:
        """A disk that is full ends no conversation; that it is not kept is said once."""
        try:
            chat = self._keeper.keep(state.chat)
        except ConfigError as error:
            if not self._unkept:
                self._view.say(f"{error.message}; the chat goes on and is not kept", Tone.WARNING)
            self._unkept = error.message
            return state
        if self._unkept:
            self._unkept = ""
            self._view.say(f"kept again, as {chat.name}")
        return replace(state, chat=chat)

    def _save(self, state: State, name: str) -> State:
        if not state.chat.turns:
            raise ConfigError("there is nothing to keep yet; ask something first")
        chat = self._keeper.save(state.chat, name)
        self._unkept = ""
        self._view.say(f"kept as {chat.name}; `mesh chat -c {chat.name}` goes on with it")
        return replace(state, chat=chat)

    def _load(self, name: str) -> State:
        chat = self._keeper.open(name)
        going_on(self._view, State(chat))
        return State(chat)

    def _list(self) -> None:
        names = self._keeper.store.names()
        if not names:
            self._view.say("no conversation is kept yet")
            return
        more = f", and {len(names) - _LISTED:,} more: `mesh chats`" if names[_LISTED:] else ""
        self._view.say(f"/load NAME: {', '.join(names[:_LISTED])}{more}")

    async def _copy(self, text: str, what: str) -> None:
        size = f"{what} ({in_words(len(text.encode('utf-8', 'replace')))})"
        command = clipboard.program(os.environ, shutil.which)
        if command is not None and await clipboard.given_to(command, text):
            self._view.say(f"copied {size} with {command[0]}")
            return
        sequence = clipboard.sequence(text)
        if sequence is None:
            self._view.say(f"{size} is too much for the terminal's clipboard", Tone.WARNING)
        elif self._view.raw(sequence):
            self._view.say(f"sent {size} to the terminal's clipboard (OSC 52)")
        else:
            self._view.say("there is no clipboard here: no terminal, no wl-copy, xclip or pbcopy")


def going_on(view: View, state: State) -> None:
    """Where a kept conversation is."""
    turns = state.chat.turns
    if turns:
        view.earlier(turns[-1])
    count = f"{len(turns)} turn{'' if len(turns) == 1 else 's'}"
    view.say(f"going on with {state.chat.name} ({count})")


def _named(state: State) -> dict[str, Any]:
    chat = state.chat
    named = (("model", chat.model), ("specialty", chat.specialty))
    return {name: value for name, value in named if value}


def _label(state: State) -> str:
    """What stands before a line: what is named for every prompt, and what goes with this one."""
    chosen = state.chat.model or state.chat.specialty or ""
    chosen = f"{chosen[:19]}…" if len(chosen) > 20 else chosen
    files = len(state.attached)
    with_files = f"+{files} file{'' if files == 1 else 's'}" if files else ""
    return " ".join(part for part in (chosen, with_files, "> ") if part).replace(" > ", "> ")

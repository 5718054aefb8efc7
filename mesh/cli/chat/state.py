"""A chat's state, and what follows from each line and each answer. Pure: the loop does it.

``step`` takes a line, ``answered`` and ``unanswered`` what became of it; each returns the state
after it and the effects that the loop carries out, in order.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mesh.cli.chat.commands import OFF, Called, Mistaken, Nothing, Prompted, read
from mesh.cli.chat.effects import (
    Ask,
    Asking,
    Attach,
    Attached,
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
from mesh.cli.chat.saved import SavedChat, Turn
from mesh.types import SPECIALTY_PATTERN, Decision, Message, Role


@dataclass(frozen=True, slots=True)
class Known:
    """What the fleet has now: models and their context in tokens (0: not known), specialties."""

    models: Mapping[str, int] = field(default_factory=dict)
    specialties: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class State:
    """``failed``: the last prompt, where it got no answer. ``decision``: of the last answer, None
    where there is none yet or it was made in an earlier session."""

    chat: SavedChat
    attached: tuple[Attached, ...] = ()
    failed: Asking | None = None
    decision: Decision | None = None


After = tuple[State, tuple[Effect, ...]]


def step(state: State, line: str, known: Known) -> After:
    match read(line):
        case Nothing():
            return state, ()
        case Mistaken(why=why):
            return state, (Say(why, Tone.WARNING),)
        case Prompted(text=text):
            asking = Asking(
                prompt=joined(text, state.attached),
                typed=line.strip(),
                attached=state.attached,
                before=state.chat.turns,
            )
            return _asked(replace(state, attached=()), asking)
        case Called(name=name, argument=argument):
            return _called(state, name, argument, known)


def answered(state: State, asking: Asking, turn: Turn, decision: Decision | None) -> After:
    """``turn``: whole, or as much as came before its reader stopped it."""
    chat = replace(
        state.chat,
        turns=(*asking.before, turn),
        changed=max(state.chat.changed, turn.asked + turn.seconds),
    )
    return replace(state, chat=chat, decision=decision, failed=None), (Keep(),)


def unanswered(state: State, asking: Asking) -> After:
    """It ended in an error, or was stopped before anything came: nothing of it is part of the
    conversation, and it is given back."""
    back = replace(state, attached=asking.attached, failed=asking)
    return back, () if asking.fresh else (Edit(asking.typed),)


def joined(text: str, attached: tuple[Attached, ...]) -> str:
    """A prompt with its files below it, each under its name."""
    return "\n\n".join([text, *(f"{each.name}:\n```\n{each.text}\n```" for each in attached)])


def _asked(state: State, asking: Asking) -> After:
    before = replace(state.chat, turns=asking.before).messages
    return state, (Ask(asking, (*before, Message.of(Role.USER, asking.prompt))),)


def _called(state: State, name: str, argument: str, known: Known) -> After:
    chat, turns = state.chat, state.chat.turns
    match name:
        case "help":
            return state, (Help(),)
        case "system" | "model" | "specialty":
            return _chosen(state, name, argument, known)
        case "file":
            return _file(state, argument)
        case "retry":
            return _retried(state)
        case "copy":
            return state, (_copied(turns[-1].answer if turns else "", argument),)
        case "why" | "stats" if not turns:
            return state, (Say("nothing was answered in this conversation yet"),)
        case "why":
            return state, (Why(),)
        case "stats":
            return state, (Stats(),)
        case "save":
            return state, (Save(argument),)
        case "load":
            return state, (Load(argument) if argument else ListKept(),)
        case "new":
            fresh = SavedChat(
                created=chat.changed,
                changed=chat.changed,
                system=chat.system,
                model=chat.model,
                specialty=chat.specialty,
            )
            return State(fresh), (Begin(),)
        case _:
            return state, (Leave(),)


def _chosen(state: State, what: str, argument: str, known: Known) -> After:
    """What every prompt names from now on: a model, a specialty, a system text."""
    chat = state.chat
    now: str | None = {"model": chat.model, "specialty": chat.specialty}.get(what, chat.system)
    if not argument:
        none = "no system text" if what == "system" else f"no {what} is named: the router decides"
        return state, (Say(f"{what}: {now}" if now else none),)
    if argument.lower() == OFF:
        chosen = None
    elif wrong := _wrong(what, argument, known):
        return state, (Say(wrong, Tone.WARNING),)
    else:
        chosen = argument
    match what:
        case "system":
            chat = replace(chat, system=chosen)
        case "model":
            chat = replace(chat, model=chosen, specialty=None if chosen else chat.specialty)
        case _:
            chat = replace(chat, specialty=chosen, model=None if chosen else chat.model)
    if chosen is None:
        said = "no system text" if what == "system" else "the router decides"
    else:
        said = (
            "the system text is set" if what == "system" else f"{what} {chosen}, until /{what} off"
        )
    return replace(state, chat=chat), (Say(said), Keep())


def _wrong(what: str, name: str, known: Known) -> str:
    """Why it cannot be named, "" where it can as far as is known."""
    if what == "system":
        return ""
    if what == "specialty" and not SPECIALTY_PATTERN.fullmatch(name):
        return f"'{name[:40]}' is no specialty's name"
    there = known.models if what == "model" else known.specialties
    if not there or name in there:
        return ""
    near = difflib.get_close_matches(name, there, n=1, cutoff=0.5)
    remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(there)[:12])}"
    return f"no node has the {what} '{name[:80]}'; {remedy}"


def _file(state: State, argument: str) -> After:
    if argument.lower() == OFF:
        return replace(state, attached=()), (Say("no file goes with the next prompt"),)
    if argument:
        return state, (Attach(argument),)
    names = ", ".join(each.name for each in state.attached)
    return state, (Say(f"with the next prompt: {names}" if names else "/file PATH adds a file"),)


def _retried(state: State) -> After:
    if (failed := state.failed) is not None:
        return _asked(replace(state, attached=()), failed)
    if not state.chat.turns:
        return state, (Say("there is no prompt to ask again"),)
    prompt = state.chat.turns[-1].prompt
    asking = Asking(prompt, prompt, state.attached, state.chat.turns[:-1], fresh=True)
    return _asked(state, asking)


def _copied(answer: str, part: str) -> Effect:
    if not answer:
        return Say("there is no answer to copy")
    if not part:
        return Copy(answer, "the answer")
    if part.lower() != "code":
        return Say(f"/copy or /copy code, not '{part[:40]}'", Tone.WARNING)
    blocks = code_blocks(answer)
    return Copy(blocks[-1], "the code") if blocks else Say("there is no code block in the answer")


def code_blocks(answer: str) -> list[str]:
    """The fenced blocks of an answer; the last one may be open."""
    found: list[str] = []
    fence = ""
    for line in answer.splitlines():
        bare = line.strip()
        if fence and bare.startswith(fence) and not bare.strip(fence[0]):
            fence = ""
        elif fence:
            found[-1] += f"{line}\n"
        elif bare.startswith(("```", "~~~")):
            fence = bare[0] * (len(bare) - len(bare.lstrip(bare[0])))
            found.append("")
    return found

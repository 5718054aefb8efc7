"""What a chat says to each command, word for word, and what of its state is another afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.cli.chat.effects import (
    Ask,
    Asking,
    Attached,
    Begin,
    Copy,
    Edit,
    Keep,
    Say,
    Tone,
)
from mesh.cli.chat.saved import SavedChat
from mesh.cli.chat.state import State, answered, code_blocks, joined, step, unanswered
from mesh.types import Decision, Message, Role, Specialty
from tests.unit.test_chat_state import EMPTY, KNOWN, ONE, TWO, Known

FILE, OTHER = Attached("a.py", "x = 1"), Attached("b.md", "# b")
DECISION = Decision(specialty=Specialty("chat"), stage="rules", rule=None, confidence=1.0)
FULL = State(
    SavedChat(
        name="talk",
        created=1.0,
        changed=21.0,
        system="be kind",
        model="smol",
        specialty=None,
        turns=(ONE, TWO),
    ),
    attached=(FILE,),
    failed=Asking("three?", "three?", (), (ONE,)),
    decision=DECISION,
)


def chat(state: State, **changes: Any) -> State:
    return replace(state, chat=replace(state.chat, **changes))


@pytest.mark.parametrize(
    ("state", "line", "says", "tone"),
    [
        (EMPTY, "/sistem", "there is no /sistem; did you mean /system?", Tone.WARNING),
        (EMPTY, "/system", "no system text", Tone.NOTE),
        (EMPTY, "/model", "no model is named: the router decides", Tone.NOTE),
        (EMPTY, "/specialty", "no specialty is named: the router decides", Tone.NOTE),
        (FULL, "/system", "system: be kind", Tone.NOTE),
        (FULL, "/model", "model: smol", Tone.NOTE),
        (FULL, "/specialty", "no specialty is named: the router decides", Tone.NOTE),
        (chat(EMPTY, specialty="code"), "/specialty", "specialty: code", Tone.NOTE),
        (EMPTY, "/model smoll", "no node has the model 'smoll'; did you mean smol?", Tone.WARNING),
        (
            EMPTY,
            f"/model {'z' * 99}",
            f"no node has the model '{'z' * 80}'; there are qwen, smol",
            Tone.WARNING,
        ),
        (
            EMPTY,
            "/specialty cod",
            "no node has the specialty 'cod'; did you mean code?",
            Tone.WARNING,
        ),
        (EMPTY, f"/specialty A{'z' * 99}", f"'A{'z' * 39}' is no specialty's name", Tone.WARNING),
        (EMPTY, "/why", "nothing was answered in this conversation yet", Tone.NOTE),
        (EMPTY, "/stats", "nothing was answered in this conversation yet", Tone.NOTE),
        (EMPTY, "/retry", "there is no prompt to ask again", Tone.NOTE),
        (EMPTY, "/file", "/file PATH adds a file", Tone.NOTE),
        (FULL, "/file", "with the next prompt: a.py", Tone.NOTE),
        (EMPTY, "/copy", "there is no answer to copy", Tone.NOTE),
        (FULL, "/copy code", "there is no code block in the answer", Tone.NOTE),
        (
            FULL,
            f"/copy {'z' * 50}",
            f"/copy or /copy code, not '{'z' * 40}'",
            Tone.WARNING,
        ),
    ],
)
def test_what_changes_nothing_says_why(state: State, line: str, says: str, tone: Tone) -> None:
    assert step(state, line, KNOWN) == (state, (Say(says, tone),))


@pytest.mark.parametrize(
    ("state", "line", "chosen", "says"),
    [
        (FULL, "/system be brief", {"system": "be brief"}, "the system text is set"),
        (FULL, "/system OFF", {"system": None}, "no system text"),
        (FULL, "/model qwen", {"model": "qwen"}, "model qwen, until /model off"),
        (FULL, "/model off", {"model": None}, "the router decides"),
        (
            FULL,
            "/specialty code",
            {"specialty": "code", "model": None},
            "specialty code, until /specialty off",
        ),
        (FULL, "/specialty off", {"specialty": None}, "the router decides"),
        (
            chat(FULL, model=None, specialty="code"),
            "/model smol",
            {"model": "smol", "specialty": None},
            "model smol, until /model off",
        ),
        (
            chat(FULL, model=None, specialty="code"),
            "/model off",
            {"model": None},
            "the router decides",
        ),
    ],
)
def test_a_choice_is_one_thing_changed_said_and_kept(
    state: State, line: str, chosen: dict[str, str | None], says: str
) -> None:
    assert step(state, line, KNOWN) == (chat(state, **chosen), (Say(says), Keep()))


def test_of_many_names_some_are_listed() -> None:
    known = Known({f"{letter * 9}": 1 for letter in "abcdefghijklmnop"})
    _, (effect,) = step(EMPTY, "/model 1", known)
    assert isinstance(effect, Say)
    assert effect.text.count(", ") == 11
    assert effect.text.endswith("lllllllll")


def test_a_name_is_close_to_another_by_half_of_it() -> None:
    known = Known({"abcd": 1})
    for name, near in (("abyz", True), ("axyz", False)):
        _, (effect,) = step(EMPTY, f"/model {name}", known)
        assert isinstance(effect, Say)
        assert ("did you mean abcd?" in effect.text) is near


def test_a_prompt_takes_the_files_with_it() -> None:
    state, (ask,) = step(replace(FULL, attached=(FILE, OTHER)), "  what? ", KNOWN)
    assert state == replace(FULL, attached=())
    whole = "what?\n\na.py:\n```\nx = 1\n```\n\nb.md:\n```\n# b\n```"
    asking = Asking(whole, "what?", (FILE, OTHER), (ONE, TWO))
    assert ask == Ask(asking, (*FULL.chat.messages, Message.of(Role.USER, whole)))
    assert joined("a", ()) == "a"


def test_a_failed_prompt_is_asked_again_as_it_was() -> None:
    state, (ask,) = step(FULL, "/retry", KNOWN)
    assert FULL.failed is not None
    assert state == replace(FULL, attached=())
    before = chat(FULL, turns=(ONE,)).chat.messages
    assert ask == Ask(FULL.failed, (*before, Message.of(Role.USER, "three?")))


def test_the_last_answer_of_several_is_asked_for_anew() -> None:
    three = replace(ONE, prompt="three?")
    talk = replace(chat(FULL, turns=(ONE, TWO, three)), failed=None)
    state, (ask,) = step(talk, "/retry", KNOWN)
    asking = Asking("three?", "three?", (FILE,), (ONE, TWO), fresh=True)
    messages = (*chat(FULL).chat.messages, Message.of(Role.USER, "three?"))
    assert (state, ask) == (talk, Ask(asking, messages))


def test_an_answer_clears_what_failed_and_says_who_decided() -> None:
    assert FULL.failed is not None
    turn = replace(ONE, asked=100.0, seconds=5.0)
    state, effects = answered(FULL, FULL.failed, turn, DECISION)
    assert effects == (Keep(),)
    assert state == replace(chat(FULL, turns=(ONE, turn), changed=105.0), failed=None)
    early = replace(ONE, asked=1.0, seconds=5.0)
    state, _ = answered(FULL, FULL.failed, early, None)
    assert (state.chat.changed, state.decision) == (21.0, None), "a clock that was set back"


def test_what_got_no_answer_is_given_back_but_for_an_answer_anew() -> None:
    asking = Asking("what?\n\nb", "what?", (OTHER,), (ONE, TWO))
    state, effects = unanswered(FULL, asking)
    assert (state, effects) == (
        replace(FULL, attached=(OTHER,), failed=asking),
        (Edit("what?"),),
    )
    assert unanswered(FULL, replace(asking, fresh=True))[1] == ()


def test_a_new_conversation_has_what_was_chosen_and_is_as_old_as_the_last_change() -> None:
    talk = chat(FULL, specialty="code")
    state, effects = step(talk, "/new", KNOWN)
    assert effects == (Begin(),)
    fresh = SavedChat(created=21.0, changed=21.0, system="be kind", model="smol", specialty="code")
    assert state == State(fresh)


def test_files_are_put_away_and_it_is_said() -> None:
    state, effects = step(FULL, "/file OFF", KNOWN)
    assert state == replace(FULL, attached=())
    assert effects == (Say("no file goes with the next prompt"),)


@pytest.mark.parametrize(
    ("answer", "blocks"),
    [
        ("", []),
        ("a\n```\nb\n\nc\n```\nd\n```py\ne\n```", ["b\n\nc\n", "e\n"]),
        ("  ~~~~sh\n~~~\nx\n  ~~~~~\ny", ["~~~\nx\n"]),
        ("```\n```py\n```", ["```py\n"]),
        ("```\n~~~\n```\n~~~\nx", ["~~~\n", "x\n"]),
        ("``a``\n", []),
    ],
)
def test_a_code_block_is_what_stands_between_fences(answer: str, blocks: list[str]) -> None:
    assert code_blocks(answer) == blocks


def test_the_last_block_of_several_is_copied() -> None:
    answer = "```\na\n```\n```\nb\n```\n```\nc\n```"
    talk = chat(FULL, turns=(ONE, replace(TWO, answer=answer)))
    assert step(talk, "/copy CODE", KNOWN) == (talk, (Copy("c\n", "the code"),))
    assert step(talk, "/copy", KNOWN) == (talk, (Copy(answer, "the answer"),))

"""What follows from a line and from an answer, without a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

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
from mesh.cli.chat.saved import STOPPED, SavedChat, Turn
from mesh.cli.chat.state import Known, State, answered, code_blocks, step, unanswered

ONE = Turn(prompt="one?", answer="1", ended="stop", asked=10.0)
TWO = Turn(prompt="two?", answer="2", ended="stop", asked=20.0)
EMPTY = State(SavedChat(created=1.0, changed=1.0))
TALK = State(SavedChat(name="talk", created=1.0, changed=21.0, system="s", turns=(ONE, TWO)))
KNOWN = Known({"smol": 2048, "qwen": 4096}, frozenset({"chat", "code"}))


def after(state: State, *lines: str) -> tuple[State, tuple[Effect, ...]]:
    effects: tuple[Effect, ...] = ()
    for line in lines:
        state, effects = step(state, line, KNOWN)
    return state, effects


def asked(state: State, *lines: str) -> tuple[Asking, list[str]]:
    _, (effect,) = after(state, *lines)
    assert isinstance(effect, Ask)
    return effect.asking, [message.text for message in effect.messages]


def said(state: State, *lines: str) -> str:
    _, effects = after(state, *lines)
    assert isinstance(effects[0], Say)
    return effects[0].text


def test_a_prompt_goes_with_what_was_said_before() -> None:
    asking, texts = asked(TALK, "three?")
    assert texts == ["s", "one?", "1", "two?", "2", "three?"]
    assert asking.before == (ONE, TWO)
    assert not asking.fresh


def test_an_answer_becomes_a_turn_and_is_kept() -> None:
    asking, _ = asked(TALK, "three?")
    three = replace(ONE, prompt="three?", asked=30.0, seconds=2.0)
    state, effects = answered(TALK, asking, three, None)
    assert state.chat.turns == (ONE, TWO, three)
    assert state.chat.changed == 32.0
    assert effects == (Keep(),)


def test_what_came_of_a_stopped_answer_is_part_of_the_conversation() -> None:
    asking, _ = asked(EMPTY, "go")
    state, _ = answered(EMPTY, asking, replace(ONE, prompt="go", answer="Onc", ended=STOPPED), None)
    _, texts = asked(state, "go on")
    assert texts == ["go", "Onc", "go on"]


def test_a_prompt_without_an_answer_is_given_back_with_its_files() -> None:
    with_file = replace(TALK, attached=(Attached("a.py", "x = 1"),))
    state, (ask,) = after(with_file, "what is this?")
    assert isinstance(ask, Ask)
    assert ask.messages[-1].text == "what is this?\n\na.py:\n```\nx = 1\n```"
    assert state.attached == ()
    state, effects = unanswered(state, ask.asking)
    assert effects == (Edit("what is this?"),)
    assert state.attached == with_file.attached
    assert state.chat == TALK.chat
    again, texts = asked(state, "/retry")
    assert again == ask.asking
    assert texts[-1] == ask.messages[-1].text


def test_retry_replaces_the_last_answer_and_only_once_there_is_another() -> None:
    asking, texts = asked(TALK, "/retry")
    assert texts == ["s", "one?", "1", "two?"]
    assert asking.fresh
    state, effects = unanswered(TALK, asking)
    assert state.chat == TALK.chat
    assert effects == ()
    other = replace(TWO, answer="zwei", asked=40.0)
    state, _ = answered(TALK, asking, other, None)
    assert state.chat.turns == (ONE, other)


def test_retry_of_a_failed_prompt_comes_before_that_of_the_last_answer() -> None:
    asking, _ = asked(TALK, "three?")
    failed, _ = unanswered(TALK, asking)
    assert asked(failed, "/retry")[1][-1] == "three?"
    state, _ = answered(failed, asking, replace(ONE, prompt="three?"), None)
    assert state.failed is None


def test_a_system_text_is_replaced_and_put_away() -> None:
    state, effects = after(TALK, "/system be kind")
    assert effects[1:] == (Keep(),)
    assert asked(state, "x")[1][0] == "be kind"
    state, _ = after(state, "/system off")
    assert asked(state, "x")[1][0] == "one?"
    assert said(TALK, "/system") == "system: s"


def test_a_model_or_a_specialty_is_named_never_both() -> None:
    state, _ = after(EMPTY, "/model smol", "/specialty code")
    assert (state.chat.model, state.chat.specialty) == (None, "code")
    state, _ = after(state, "/model qwen")
    assert (state.chat.model, state.chat.specialty) == ("qwen", None)
    state, effects = after(state, "/model off")
    assert (state.chat.model, state.chat.specialty) == (None, None)
    assert effects[0] == Say("the router decides")


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("/model smoll", "did you mean smol?"),
        ("/model gpt", "there are qwen, smol"),
        ("/specialty cod", "did you mean code?"),
        ("/specialty Code!", "is no specialty's name"),
    ],
)
def test_a_name_that_nobody_has_is_not_taken(line: str, remedy: str) -> None:
    state, (effect,) = after(EMPTY, line)
    assert isinstance(effect, Say)
    assert effect.tone is Tone.WARNING
    assert remedy in effect.text
    assert state == EMPTY


def test_where_the_fleet_is_not_known_any_name_is_taken() -> None:
    state, _ = step(EMPTY, "/model gpt", Known())
    assert state.chat.model == "gpt"


def test_copy_takes_the_answer_or_its_last_code() -> None:
    answer = "Do:\n```sh\nls\n```\nor\n~~~~\n```\nx\n~~~~\n"
    talk = replace(TALK, chat=replace(TALK.chat, turns=(replace(ONE, answer=answer),)))
    assert after(talk, "/copy")[1] == (Copy(answer, "the answer"),)
    assert after(talk, "/copy code")[1] == (Copy("```\nx\n", "the code"),)
    assert said(TALK, "/copy code") == "there is no code block in the answer"
    assert said(TALK, "/copy all") == "/copy or /copy code, not 'all'"
    assert said(EMPTY, "/copy") == "there is no answer to copy"
    assert code_blocks("```\nopen") == ["open\n"]


def test_a_new_conversation_keeps_what_was_chosen_and_nothing_else() -> None:
    state, effects = after(replace(TALK, attached=(Attached("a", "b"),)), "/new")
    assert effects == (Begin(),)
    assert (state.chat.name, state.chat.turns, state.attached) == ("", (), ())
    assert state.chat.system == "s"


@pytest.mark.parametrize(
    ("line", "effect"),
    [
        ("/help", Help()),
        ("/why", Why()),
        ("/stats", Stats()),
        ("/exit", Leave()),
        ("/bye", Leave()),
        ("/save", Save("")),
        ("/save it", Save("it")),
        ("/load it", Load("it")),
        ("/load", ListKept()),
        ("/file a b.py", Attach("a b.py")),
    ],
)
def test_the_other_commands_are_for_the_loop(line: str, effect: Effect) -> None:
    state, effects = after(TALK, line)
    assert (state, effects) == (TALK, (effect,))


@pytest.mark.parametrize("line", ["/why", "/stats", "/retry", "/copy"])
def test_before_the_first_answer_they_say_so(line: str) -> None:
    assert said(EMPTY, line)


def test_files_are_listed_and_put_away() -> None:
    state = replace(TALK, attached=(Attached("a.py", "x"), Attached("b.py", "y")))
    assert said(state, "/file") == "with the next prompt: a.py, b.py"
    assert after(state, "/file off")[0].attached == ()


def test_an_empty_line_does_nothing() -> None:
    assert after(TALK, "  ") == (TALK, ())

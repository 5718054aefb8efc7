"""An orchestrator knows where the conversations are that it passed on, and nothing grows."""

from __future__ import annotations

import pytest

from mesh.types import Image, Message, ModelId, NodeId, Role, ToolCall, ToolResult
from orchestrator.picture.affinity import MAX_HOMES, MOST_UNSEEN, Affinity, origin_of
from tests.conversations import CALL, PICTURE, RESULT, TOOLS

A, B = (NodeId("a"), ModelId("m")), (NodeId("b"), ModelId("n"))


def user(text: str) -> Message:
    return Message.of(Role.USER, text)


def said(text: str) -> Message:
    return Message.of(Role.ASSISTANT, text)


def system(text: str) -> Message:
    return Message.of(Role.SYSTEM, text)


def test_the_next_turn_finds_where_the_last_one_was_answered() -> None:
    known = Affinity()
    known.keep("", [user("hi")], "hello", A)
    turn = [user("hi"), said("hello"), user("why?")]
    assert known.homes("", turn) == (A,)
    known.keep("", turn, "because", A)
    assert known.homes("", [*turn, said("because"), user("and?")]) == (A,)


def test_turns_that_were_streamed_by_ticket_are_found_where_the_ticket_led() -> None:
    known = Affinity()
    known.sent("", [user("hi")], A)
    turn = [user("hi"), said("never seen here"), user("why?")]
    assert known.homes("", turn) == (A,)
    # One ticket serves several turns, and then an answer comes by here again.
    later = [*turn, said("nor this"), user("and?")]
    assert known.homes("", later) == (A,)
    known.keep("", later, "so", B)
    assert known.homes("", [*later, said("so"), user("oh?")]) == (B, A)
    assert known.homes("other", turn) == ()
    assert known.homes("", [user("ho"), said("hello"), user("why?")]) == ()


def test_a_ticket_is_not_looked_for_over_a_long_conversation() -> None:
    known = Affinity()
    known.sent("", [user("hi")], A)
    turns = [each for n in range(MOST_UNSEEN) for each in (user(f"q{n}"), said(f"a{n}"))]
    assert known.homes("", [user("hi"), said("x"), *turns, user("why?")]) == ()
    assert known.homes("", [user("hi"), said("x"), *turns[:-2], user("why?")]) == (A,)


@pytest.mark.parametrize("answer", ["hello\n", " hello", "hello"])
def test_white_space_around_an_answer_is_no_other_conversation(answer: str) -> None:
    known = Affinity()
    known.keep("", [user("hi")], "hello", A)
    assert known.homes("", [user("hi"), said(answer), user("why?")]) == (A,)


@pytest.mark.parametrize(
    ("tenant", "messages"),
    [
        ("", [user("hi")]),
        ("", [user("hi"), said("hullo"), user("why?")]),
        ("", [user("ho"), said("hello"), user("why?")]),
        ("", [system("x"), user("hi"), said("hello"), user("why?")]),
        ("", [user("hi"), user("hello"), user("why?")]),
        ("other", [user("hi"), said("hello"), user("why?")]),
        ("", []),
    ],
)
def test_another_conversation_finds_nothing(tenant: str, messages: list[Message]) -> None:
    known = Affinity()
    known.keep("", [user("hi")], "hello", A)
    assert known.homes(tenant, messages) == ()


def test_a_conversation_that_moved_knows_its_newest_home_first() -> None:
    known = Affinity()
    turns = [user("one")]
    for number in range(10):
        home = (NodeId(f"n{number % 6}"), ModelId("m"))
        known.keep("", turns, "ok", home)
        turns += [said("ok"), user(f"turn {number}")]
    homes = known.homes("", turns)
    assert [node for node, _ in homes] == ["n3", "n2", "n1", "n0"]
    assert len(homes) == MAX_HOMES


def test_an_answer_that_no_node_gave_leaves_the_conversation_where_it_was() -> None:
    known = Affinity()
    known.keep("", [user("one")], "1", A)
    turn = [user("one"), said("1"), user("2+2")]
    known.keep("", turn, "4", None)
    assert known.homes("", [*turn, said("4"), user("why?")]) == (A,)
    known.keep("", [user("3+3")], "6", None)
    assert known.homes("", [user("3+3"), said("6"), user("why?")]) == ()


def test_the_least_recently_used_is_forgotten_first() -> None:
    known = Affinity(limit=2)
    for text in ("one", "two"):
        known.keep("", [user(text)], "ok", A)
    assert known.homes("", [user("one"), said("ok"), user("x")]) == (A,)
    known.keep("", [user("three")], "ok", B)
    assert len(known) == 2
    assert known.homes("", [user("two"), said("ok"), user("x")]) == ()
    assert known.homes("", [user("one"), said("ok"), user("x")]) == (A,)


def test_megabytes_and_broken_text_are_looked_at_by_their_ends() -> None:
    known = Affinity()
    long = "x" * 3_000_000
    known.keep("", [user(long), user("\ud800")], long, A)
    assert known.homes("", [user(long), user("\ud800"), said(long), user("y")]) == (A,)
    assert known.homes("", [user(long), user("\ud800"), said(long + "x"), user("y")]) == ()


def test_a_long_conversation_is_told_from_others_by_its_length_and_its_ends() -> None:
    known = Affinity()
    turns = [user(f"turn {n}") for n in range(400)]
    known.keep("", turns, "ok", A)
    assert known.homes("", [*turns, said("ok"), user("x")]) == (A,)
    assert known.homes("", [*turns[1:], said("ok"), user("x")]) == ()
    assert known.homes("", [*turns, said("ko"), user("x")]) == ()


def test_a_conversation_begins_with_the_same_all_along() -> None:
    turn = [system("be brief"), user("hi"), said("hello"), user("why?")]
    assert origin_of("", turn) == origin_of("", turn[:2])
    others = [
        origin_of("t", turn),
        origin_of("", turn[1:]),
        origin_of("", [system("be long"), *turn[1:]]),
        origin_of("", [turn[0], user("ho")]),
        origin_of("", [system("be brief")]),
        origin_of("", []),
    ]
    assert len({origin_of("", turn), *others}) == 7


def test_conversations_that_differ_in_an_image_a_call_or_a_result_are_others() -> None:
    seen = [PICTURE, Image("image/png", PICTURE.data[:-1] + b"x"), Image("", url="https://x.org/a")]
    origins = {origin_of("", [Message(role=Role.USER, parts=(part,))]) for part in seen}
    assert len(origins) == 3
    others = [
        ToolCall("b", CALL.name, CALL.arguments),
        ToolCall(CALL.id, "b", CALL.arguments),
        ToolCall(CALL.id, CALL.name, "{}"),
    ]
    known = Affinity()
    known.keep("", TOOLS, "It rains.", A)
    assert known.homes("", [*TOOLS, said("It rains."), user("and now?")]) == (A,)
    for other in others:
        turns = [TOOLS[0], Message(role=Role.ASSISTANT, parts=(other,)), TOOLS[2]]
        assert known.homes("", [*turns, said("It rains."), user("and now?")]) == ()
    for result in (ToolResult("b", RESULT.text), ToolResult(RESULT.call_id, "sun")):
        turns = [*TOOLS[:2], Message(role=Role.TOOL, parts=(result,))]
        assert known.homes("", [*turns, said("It rains."), user("and now?")]) == ()

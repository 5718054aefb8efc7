"""Conversations of all kinds of parts, for whoever carries, checks or renders them."""

from __future__ import annotations

from hypothesis import strategies as st

from mesh.types import Image, Message, Part, Role, Text, ToolCall, ToolResult

CALL = ToolCall("call_1", "weather", '{"zone": "north", "city": "Zürich",  "days": [1, 2]}')
RESULT = ToolResult("call_1", "rain, 7 °C")
PICTURE = Image("image/png", b"\x89PNG\r\n\x1a\n\x00\xff")
ASKED = Message.of(Role.USER, "What is the weather?")
CALLED = Message(role=Role.ASSISTANT, parts=(CALL,))
ANSWERED = Message(role=Role.TOOL, parts=(RESULT,))
TOOLS = (ASKED, CALLED, ANSWERED)
SEEN = (Message(role=Role.USER, parts=(Text("What is "), PICTURE, Text("this?"))),)

# Every kind of part in any place: what wires carry is not for them to judge.
ANY_PART: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, st.text(max_size=40)),
    st.builds(Image, st.text(max_size=12), st.binary(max_size=40), st.text(max_size=40)),
    st.builds(ToolCall, st.text(max_size=12), st.text(max_size=12), st.text(max_size=40)),
    st.builds(ToolResult, st.text(max_size=12), st.text(max_size=40)),
)
ANY_MESSAGES: st.SearchStrategy[tuple[Message, ...]] = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(Role),
        parts=st.lists(ANY_PART, min_size=1, max_size=4).map(tuple),
    ),
    max_size=4,
).map(tuple)

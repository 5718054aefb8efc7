"""The wire format: what goes in comes out, and of what does not only ``ProtocolError`` escapes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.errors import ProtocolError
from mesh.fleet.records import Heartbeat, ModelLoad, ModelState, NodeState
from mesh.transport import frames
from mesh.transport.base import Accepted, Failed, Finished, Progress, Refused, Tokens, Vectors
from mesh.transport.frames import (
    HEADER_BYTES,
    MAX_CREDIT,
    MAX_ERROR_TEXT,
    MAX_HOPS,
    MAX_OPEN_BYTES,
    MAX_OTHER_BYTES,
    MAX_STREAM,
    MAX_TOKENS_BYTES,
    MAX_VECTORS_BYTES,
    Bye,
    Credit,
    Frame,
    FrameType,
    Hello,
    Reject,
    Welcome,
)
from mesh.types import FinishReason, Message, ModelId, NodeId, Piece, Role, Usage
from mesh.validation import MAX_TEXTS
from tests.transport_rig import attempt, tokens

EXAMPLES: list[tuple[FrameType, Any]] = [
    (FrameType.HELLO, Hello(protocol=1, name="o", instance="i", heartbeat_s=0.5)),
    (FrameType.WELCOME, Welcome(protocol=1, node="n", instance="i", heartbeat_s=0.5)),
    (FrameType.REJECT, Reject(reason="too old")),
    (FrameType.PING, None),
    (FrameType.PONG, None),
    (FrameType.BYE, Bye(reason="stopping")),
    (FrameType.OPEN, attempt(delivered=tokens(0, 3).pieces, hops=(NodeId("a"),))),
    (FrameType.CREDIT, Credit(pieces=3)),
    (FrameType.CANCEL, None),
    (FrameType.ACCEPTED, Accepted(node=NodeId("n"), model=ModelId("m"))),
    (FrameType.PROGRESS, Progress(phase="prefilling", done=3, total=9)),
    (FrameType.TOKENS, tokens(7, 1)),
    (FrameType.TOKENS, tokens(7, 100)),
    (
        FrameType.FINISHED,
        Finished(reason=FinishReason.STOP, usage=Usage(prompt_tokens=1, completion_tokens=2)),
    ),
    (FrameType.REFUSED, Refused(code="overloaded", message="full", retry_after_s=1.5)),
    (FrameType.FAILED, Failed(code="engine_failed", message="ünï")),
    (
        FrameType.HEARTBEAT,
        Heartbeat(
            node=NodeId("n"),
            state=NodeState.READY,
            models=(
                ModelLoad(
                    model=ModelId("m"), state=ModelState.RESIDENT, slots=4, used_slots=1, queued=2
                ),
            ),
            free_vram_bytes=(1, 2**40),
            expected_wait_s=0.25,
        ),
    ),
    (FrameType.OPEN, attempt(texts=("a", "b"), credit=2)),
    (FrameType.VECTORS, Vectors(first=3, dimension=2, data=bytes(16))),
]


def beat_with(**changes: Any) -> dict[str, Any]:
    load = {"model": "m", "state": "resident", "slots": 1, "used_slots": 0}
    return {"node": "n", "state": "ready", "models": [load | changes]}


def bytes_of(kind: FrameType, body: Any) -> bytes:
    return bytes([kind]) + bytes(8) + msgspec.msgpack.encode(body)


@pytest.mark.parametrize(("kind", "body"), EXAMPLES)
def test_what_goes_in_comes_out(kind: FrameType, body: Any) -> None:
    assert frames.decode(frames.encode(kind, 2**40, body)) == Frame(kind, 2**40, body)


def test_every_type_has_an_example_and_its_number_stays() -> None:
    assert {kind for kind, _ in EXAMPLES} == set(FrameType)
    assert [kind.name for kind in sorted(FrameType)] == [
        "HELLO", "WELCOME", "REJECT", "PING", "PONG", "BYE", "OPEN", "CREDIT", "CANCEL",
        "ACCEPTED", "PROGRESS", "TOKENS", "FINISHED", "REFUSED", "FAILED", "HEARTBEAT",
        "VECTORS",
    ]  # fmt: skip
    assert [int(kind) for kind in FrameType] == list(range(1, len(FrameType) + 1))


def test_a_token_costs_few_bytes_on_the_wire() -> None:
    pieces = tuple(Piece(id=50_000 + i, text=" four") for i in range(64))
    size = len(frames.encode(FrameType.TOKENS, 1, Tokens(first=0, pieces=pieces)))
    assert size <= HEADER_BYTES + 8 + 64 * (1 + 3 + 6)  # a pair, an id, a text


@settings(deadline=None)
@given(
    st.integers(0, 2**40),
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.text(max_size=20)), min_size=1, max_size=50),
)
def test_any_tokens_survive(first: int, drawn: list[tuple[int, str]]) -> None:
    body = Tokens(first=first, pieces=tuple(Piece(id=i, text=t) for i, t in drawn))
    assert frames.decode(frames.encode(FrameType.TOKENS, 1, body)).body == body


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=200))
def test_only_protocol_error_escapes_from_any_bytes(data: bytes) -> None:
    _decode_or_refuse(data)


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
)
KEYS = st.text(max_size=8) | st.sampled_from(["protocol", "pieces", "node", "messages", "models"])
MSGPACK = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=1_000, deadline=None)
@given(st.sampled_from(FrameType), st.integers(0, 2**64 - 1), MSGPACK)
def test_only_protocol_error_escapes_from_any_msgpack(
    kind: FrameType, stream: int, body: Any
) -> None:
    _decode_or_refuse(bytes([kind]) + stream.to_bytes(8, "big") + msgspec.msgpack.encode(body))


@settings(max_examples=1_000, deadline=None)
@given(st.data())
def test_only_protocol_error_escapes_from_mutated_frames(data: st.DataObject) -> None:
    kind, body = data.draw(st.sampled_from(EXAMPLES))
    frame = bytearray(frames.encode(kind, 1, body))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    _decode_or_refuse(bytes(frame[: data.draw(st.integers(0, len(frame)))]))


def _decode_or_refuse(data: bytes) -> None:
    try:
        frame = frames.decode(data)
    except ProtocolError:
        return
    assert isinstance(frame, Frame)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        (kind, {FrameType.OPEN: MAX_OPEN_BYTES, FrameType.TOKENS: MAX_TOKENS_BYTES,
            FrameType.VECTORS: MAX_VECTORS_BYTES}.get(kind, MAX_OTHER_BYTES))
        for kind in FrameType
    ],
)  # fmt: skip
def test_a_body_over_its_cap_is_refused_before_it_is_read(kind: FrameType, limit: int) -> None:
    with pytest.raises(ProtocolError, match=f"the limit is {limit}"):
        frames.decode(bytes([kind]) + bytes(8) + bytes(limit + 1))


def test_a_body_over_its_cap_is_not_written() -> None:
    with pytest.raises(ProtocolError, match="limit"):
        frames.encode(FrameType.BYE, 0, Bye(reason="x" * MAX_OTHER_BYTES))
    with pytest.raises(ProtocolError, match="limit"):
        frames.encode_tokens(1, 0, [Piece(id=1, text="x" * MAX_TOKENS_BYTES)])


def test_a_long_error_text_is_cut_off_instead_of_refused() -> None:
    for event in (
        Failed(code="x", message="y" * 100_000),
        Refused(code="x", message="y" * 100_000, retry_after_s=2.0),
    ):
        body = frames.decode(frames.encode_event(1, event)).body
        assert type(body) is type(event)
        assert len(body.message) == MAX_ERROR_TEXT


@pytest.mark.parametrize("piece", [Piece(1, "\ud800"), Piece(2**64, "a"), Piece(-(2**63) - 1, "a")])
def test_what_no_wire_can_carry_is_refused_by_the_encoder(piece: Piece) -> None:
    with pytest.raises(ProtocolError, match="cannot be written"):
        frames.encode_tokens(1, 0, [piece])


@pytest.mark.parametrize(
    "frame",
    [
        bytes_of(FrameType.TOKENS, [0, []]),
        bytes_of(FrameType.TOKENS, [0, [[1]]]),
        bytes_of(FrameType.TOKENS, [0, [[1, "a"], [2]]]),
        bytes_of(FrameType.TOKENS, [-1, [[1, "a"]]]),
        bytes_of(FrameType.TOKENS, [0, [[-1, "a"]]]),
        bytes_of(FrameType.TOKENS, [0, [[2**32, "a"]]]),
        bytes_of(FrameType.TOKENS, [0, [["1", "a"]]]),
        bytes_of(FrameType.TOKENS, [0, [[1, None]]]),
        bytes_of(FrameType.TOKENS, [0]),
        bytes_of(FrameType.TOKENS, [0, [[1, "a"]]]) + b"\x00",
        bytes_of(FrameType.CREDIT, {"pieces": 0}),
        bytes_of(FrameType.CREDIT, {"pieces": 10**9}),
        bytes_of(FrameType.CREDIT, {"pieces": True}),
        bytes_of(FrameType.HELLO, {"protocol": 1, "heartbeat_s": 0}),
        bytes_of(FrameType.HELLO, {"protocol": 1, "heartbeat_s": math.inf}),
        bytes_of(FrameType.HELLO, {"protocol": 1, "heartbeat_s": math.nan}),
        bytes_of(FrameType.HELLO, {"protocol": 1, "name": "x" * 257}),
        bytes_of(FrameType.HEARTBEAT, {"node": "n", "state": "dancing"}),
        bytes_of(FrameType.HEARTBEAT, {"node": "n", "state": "ready", "expected_wait_s": math.nan}),
        bytes_of(FrameType.HEARTBEAT, {"node": "n", "state": "ready", "expected_wait_s": -1.0}),
        bytes_of(FrameType.HEARTBEAT, beat_with(expected_wait_s=math.nan)),
        bytes_of(FrameType.HEARTBEAT, beat_with(expected_wait_s=-1.0)),
        bytes_of(FrameType.HEARTBEAT, beat_with(counts={"sequences": "many"})),
        bytes_of(FrameType.REFUSED, {"code": "x", "message": "y", "retry_after_s": math.inf}),
        bytes_of(FrameType.FINISHED, {"reason": "bored", "usage": {}}),
        bytes([FrameType.PING]) + bytes(8) + b"\xc0",
        bytes([FrameType.OPEN]) + b"\xff" * 8,
        b"\x00" + bytes(8),
        b"\x11" + bytes(8),
    ],
)
def test_a_wrong_body_is_refused_with_a_reason(frame: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"\w+"):
        frames.decode(frame)


@pytest.mark.parametrize(
    "changes",
    [
        {"credit": -1},
        {"credit": 10**7},
        {"timeout_s": math.nan},
        {"timeout_s": math.inf},
        {"timeout_s": 0.0},
        {"number": -1},
        {"request_id": ""},
        {"request_id": "x" * 65},
        {"hops": tuple(NodeId(str(i)) for i in range(17))},
    ],
)
def test_an_attempt_with_values_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="bad OPEN"):
        frames.encode(FrameType.OPEN, 1, attempt(**changes))
    with pytest.raises(ProtocolError, match="bad OPEN"):
        frames.decode(bytes_of(FrameType.OPEN, attempt(**changes)))


def test_newer_fields_are_ignored_and_an_older_or_newer_hello_still_decodes() -> None:
    newer = bytes_of(FrameType.HELLO, {"protocol": 7, "tickets": ["a"], "name": "o"})
    assert frames.decode(newer).body == Hello(protocol=7, name="o")
    assert frames.decode(bytes_of(FrameType.HELLO, {"protocol": 0})).body == Hello(protocol=0)
    grown = bytes_of(FrameType.TOKENS, [0, [[1, "a", 0.5]], {"logprobs": [0.5]}])
    assert frames.decode(grown).body == Tokens(first=0, pieces=(Piece(id=1, text="a"),))


@pytest.mark.parametrize(
    "claim", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"]
)
@pytest.mark.parametrize("kind", list(FrameType))
def test_a_claimed_length_of_billions_is_refused_without_memory(
    kind: FrameType, claim: bytes
) -> None:
    with pytest.raises(ProtocolError):
        frames.decode(bytes([kind]) + bytes(8) + claim)


def test_a_message_of_any_unicode_survives() -> None:
    body = attempt(messages=(Message.of(Role.USER, "\0\u202e😀\uffff\r\n"),))
    assert frames.decode(frames.encode(FrameType.OPEN, 1, body)).body == body


@pytest.mark.parametrize(
    "changes",
    [
        {"credit": 0},
        {"credit": MAX_CREDIT},
        {"timeout_s": 0.001},
        {"number": 0},
        {"request_id": "x"},
        {"request_id": "x" * 64},
        {"hops": tuple(NodeId(str(i)) for i in range(MAX_HOPS))},
        {"texts": ("a",) * MAX_TEXTS, "credit": MAX_TEXTS},
    ],
)
def test_an_attempt_at_the_edge_of_what_is_allowed_passes(changes: dict[str, Any]) -> None:
    body = attempt(**changes)
    assert frames.decode(frames.encode(FrameType.OPEN, 1, body)).body == body


@pytest.mark.parametrize(
    "changes",
    [{"texts": ("a",) * (MAX_TEXTS + 1), "credit": MAX_TEXTS + 1}, {"texts": ("a",), "credit": 2}],
)
def test_texts_beyond_the_limit_or_without_their_credit_are_refused(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(ProtocolError, match="texts to embed"):
        frames.encode(FrameType.OPEN, 1, attempt(**changes))


@pytest.mark.parametrize("wait", [0.0, 1.5, math.inf])
def test_a_heartbeat_s_wait_may_be_none_at_all(wait: float) -> None:
    read = frames.decode(bytes_of(FrameType.HEARTBEAT, beat_with(expected_wait_s=wait))).body
    assert isinstance(read, Heartbeat)
    assert read.models[0].expected_wait_s == wait
    whole = Heartbeat(node=NodeId("n"), state=NodeState.READY, expected_wait_s=wait)
    assert frames.decode(frames.encode(FrameType.HEARTBEAT, 0, whole)).body == whole


def test_vectors_begin_at_the_first_text_and_not_before_it() -> None:
    first = Vectors(first=0, dimension=2, data=bytes(8))
    assert frames.decode(frames.encode(FrameType.VECTORS, 1, first)).body == first
    with pytest.raises(ProtocolError, match="begin at text -1"):
        frames.encode(FrameType.VECTORS, 1, replace(first, first=-1))
    with pytest.raises(ProtocolError, match="bad VECTORS"):
        frames.encode(FrameType.VECTORS, 1, replace(first, data=bytes(7)))


def test_a_body_of_exactly_its_cap_is_written_and_read() -> None:
    reason = "x" * (MAX_OTHER_BYTES - len(msgspec.msgpack.encode({"reason": ""})) - 2)
    said = frames.encode(FrameType.BYE, 0, Bye(reason=reason))
    assert len(said) == HEADER_BYTES + MAX_OTHER_BYTES
    assert frames.decode(said).body == Bye(reason=reason)


def test_a_stream_s_number_has_63_bits() -> None:
    assert frames.decode(frames.encode(FrameType.PING, MAX_STREAM)).stream == MAX_STREAM
    with pytest.raises(ProtocolError, match="out of range"):
        frames.decode(bytes([FrameType.PING]) + (MAX_STREAM + 1).to_bytes(8))


def test_a_header_alone_is_a_frame_and_a_byte_less_is_none() -> None:
    header = bytes([FrameType.PING]) + bytes(8)
    assert frames.decode(header) == Frame(FrameType.PING, 0, None)
    with pytest.raises(ProtocolError, match="shorter than its header"):
        frames.decode(header[:-1])


def test_an_error_text_that_just_fits_stays_whole_and_the_rest_of_a_refusal_too() -> None:
    whole = Refused(code="x", message="y" * MAX_ERROR_TEXT, retry_after_s=2.0)
    cut = frames.encode_event(1, replace(whole, message=whole.message + "y"))
    assert cut == frames.encode_event(1, whole)
    assert frames.decode(cut) == Frame(FrameType.REFUSED, 1, whole)
    failed = Failed(code="x", message="y" * MAX_ERROR_TEXT)
    cut = frames.encode_event(1, replace(failed, message=failed.message + "y"))
    assert frames.decode(cut) == Frame(FrameType.FAILED, 1, failed)

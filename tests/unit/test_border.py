"""The border of the registry: nothing is unbounded, and every verdict is the same everywhere."""

from __future__ import annotations

import json
import time
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ProtocolError
from mesh.fleet.border import MAX_DEPTH, MAX_VALUE_BYTES, check_address, read
from mesh.fleet.records import Heartbeat, NodeRecord, OrchestratorRecord


def unbounded(form: Any, at: str, meta: tuple[msgspec.Meta, ...] = ()) -> Iterator[str]:
    """Where a type lets a value be as large as it likes."""
    origin = get_origin(form)
    if origin is Annotated:
        base, *more = get_args(form)
        found = tuple(each for each in more if isinstance(each, msgspec.Meta))
        yield from unbounded(base, at, (*meta, *found))
    elif origin in (Union, types.UnionType):
        for each in get_args(form):
            yield from unbounded(each, at, meta)
    elif origin is tuple:
        if not any(each.max_length for each in meta):
            yield at
        yield from unbounded(get_args(form)[0], f"{at}[]")
    elif is_dataclass(form):
        hints = get_type_hints(form, include_extras=True)
        for each in fields(form):
            yield from unbounded(hints[each.name], f"{at}.{each.name}")
    elif hasattr(form, "__supertype__"):
        yield from unbounded(form.__supertype__, at, meta)
    elif form in (int, float):
        low = any(each.ge is not None for each in meta)
        high = any(each.le is not None for each in meta) or at.endswith("expected_wait_s")
        if not (low and high):
            yield at
    elif form is str:
        if not any(each.max_length for each in meta):
            yield at
    elif not (form in (bool, type(None)) or issubclass(form, Enum)):
        yield f"{at}: {form}"


@pytest.mark.parametrize("form", [NodeRecord, OrchestratorRecord, Heartbeat])
def test_every_field_of_a_record_has_a_range(form: type) -> None:
    assert list(unbounded(form, form.__name__)) == []


JSON = st.recursive(
    st.one_of(st.none(), st.integers(), st.text('[]{}"\\a', max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
    max_leaves=20,
)


def depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inside), default=0) if isinstance(value, list | dict) else 0


@given(JSON, st.integers(0, MAX_DEPTH + 3))
def test_the_limit_of_depth_is_exact(value: Any, more: int) -> None:
    for _ in range(more):
        value = [value, []]
    data = json.dumps(value).encode()
    if depth(value) <= MAX_DEPTH:
        assert read(data, object, "anything") == json.loads(data)
    else:
        with pytest.raises(ProtocolError, match=f"nested more than {MAX_DEPTH} deep"):
            read(data, object, "anything")


def test_the_limit_of_size_is_exact() -> None:
    fits = b'"' + b"x" * (MAX_VALUE_BYTES - 2) + b'"'
    assert len(read(fits, str, "text")) == MAX_VALUE_BYTES - 2
    with pytest.raises(ProtocolError, match=r"not text: 1,048,577 bytes"):
        read(fits + b" ", str, "text")


@pytest.mark.parametrize(
    "value",
    [
        b'["' + b'\\"' * 500_000 + b'"]',
        b"[" + b'"",' * 300_000 + b'""]',
        b"[" + b"[{}]," * 200_000 + b"[]]",
    ],
    ids=["escapes", "strings", "brackets"],
)
def test_a_value_that_is_made_to_be_slow_is_not(value: bytes) -> None:
    began = time.process_time()
    assert read(b"[" + value + b",{}" * 32 + b"]", object, "anything")
    assert time.process_time() - began < 4.0  # of this process: the box may be busy with others


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_are_a_protocol_error(data: bytes) -> None:
    for form in (NodeRecord, OrchestratorRecord, object):
        told = problem(data, form)
        assert told == "" or told.startswith("not it: ")
        assert told.isprintable()


def problem(data: bytes, form: type) -> str:
    try:
        read(data, form, "it")
    except ProtocolError as error:
        return error.message
    return ""


@pytest.mark.parametrize("address", ["", "h:1", "tcp://h:65535", "tcp://[::1]:7", "h", "tcp://h:0"])
def test_what_may_be_an_address_passes(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize("address", ["h:65536", "h:99999999999999", "h :1", "é:1", "h:1\n", "\0"])
def test_what_is_no_address_does_not(address: str) -> None:
    with pytest.raises(ProtocolError):
        check_address(address)


@pytest.mark.parametrize("code", [*range(0x20), 0x22, 0x5C, *range(0x7F, 0xA0), 0x202E, 0x2028])
def test_no_character_gets_past_unseen_because_json_need_not_escape_it(code: int) -> None:
    record = {"id": "o", "instance": "", "name": "NAME", "host": "", "pid": 1, "endpoint": ""}
    data = json.dumps(record).replace("NAME", f"a{chr(code)}b").encode()
    try:
        found = read(data, OrchestratorRecord, "an orchestrator record")
    except ProtocolError:
        return
    assert found.name.isprintable()

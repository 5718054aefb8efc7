"""Whatever a program gives to the SDK, it gets what it asked for or a ``MeshError``."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections import UserString
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mesh
from mesh import Client, Image, MeshError, Message, Role, Text, ToolCall, ToolResult
from mesh.client.connecting import KINDS as CONNECT_KINDS
from mesh.client.embed import KINDS as EMBED_KINDS
from mesh.client.request import KINDS
from mesh.errors import ConfigError, InvalidRequest

HI: Any = "hi"


class Mute:
    """What even its own text cannot be had of."""

    def __repr__(self) -> str:
        raise RuntimeError("nothing to see")


def endless() -> Iterator[str]:
    while True:
        yield "a"


def message(role: Any, parts: Any) -> Message:
    return Message(role=role, parts=parts)


USER: Any = Role.USER
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    10**400,
    -(10**5000),
    2**64,
    1e308,
    math.nan,
    math.inf,
    Decimal("0.5"),
    Fraction(1, 3),
    1j,
    numpy.float32(0.5),
    numpy.int64(3),
    numpy.array([1.0, 2.0]),
    numpy.str_("normal"),
    "",
    "\0",
    "\ud800",
    "\x1b[2J",
    "a" * 100_000,
    UserString("hi"),
    b"hi",
    bytearray(b"hi"),
    memoryview(b"hi"),
    [],
    ["\ud800"],
    [10**5000],
    [Mute()],
    (),
    {},
    {1: 2},
    {"role": 5, "content": "hi"},
    [{"role": Mute(), "content": "hi"}],
    [{"role": "user", "content": "hi", Mute(): 1}],
    [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    set(),
    {"a", "b"},
    range(10**12),
    Mute(),
    Mute,
    object,
    len,
    lambda: None,
    NotImplemented,
    ...,
    Role.USER,
    message(USER, "hi"),
    [message(USER, "hi")],
    [message(USER, 5)],
    [message(USER, ())],
    [message(USER, [5])],
    [message(USER, (Text(HI),))],
    [message(USER, (Text(5),))],  # type: ignore[arg-type]
    [message("user", (Text("hi"),))],
    [message("nobody", (Text("hi"),))],
    [message(None, (Text("hi"),))],
    [message(USER, (Image("image/png", "no bytes"),))],  # type: ignore[arg-type]
    [message(USER, (Image(5, b"x"),))],  # type: ignore[arg-type]
    [message(USER, (Image("image/png", b"x", url=None),))],  # type: ignore[arg-type]
    [message("assistant", (ToolCall(5, "f", "{}"),)), message(USER, (Text("hi"),))],  # type: ignore[arg-type]
    [message("assistant", (ToolCall("a", "f", {}),)), message(USER, (Text("hi"),))],  # type: ignore[arg-type]
    [message("tool", (ToolResult(None, "x"),))],  # type: ignore[arg-type]
    [message("tool", (ToolResult([], "x"),))],  # type: ignore[arg-type]
]

anything = st.one_of(
    st.sampled_from(ODD),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.complex_numbers()
        | st.text(st.characters(codec=None))
        | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=6,
    ),
)

Door = Callable[[Client, Any], Any]


def option(method: str, name: str) -> Door:
    given: dict[str, Any] = {"generate": (HI,), "conversation": (), "fleet": (), "nodes": ()}
    return lambda client, value: getattr(client, method)(*given.get(method, (HI,)), **{name: value})


DOORS: dict[str, Door] = {
    "prompt of generate": lambda client, value: client.generate(value),
    "prompt of events": lambda client, value: client.events(value),
    "prompt of ask": lambda client, value: client.ask(value),
    "prompt of route": lambda client, value: client.route(value),
    "prompt of route_many": lambda client, value: client.route_many([value]),
    "prompts of route_many": lambda client, value: client.route_many(
        value if not isinstance(value, range) else ()
    ),
    "texts of embed": lambda client, value: client.embed(value),
    "prompt of a conversation": lambda client, value: client.conversation().generate(value),
    "prompt of a conversation's ask": lambda client, value: client.conversation().ask(value),
    "system of a conversation": lambda client, value: client.conversation(system=value).generate(
        "hi"
    ),
    "endpoint of connect": lambda _, value: mesh.connect(value),
    "endpoint of connect_sync": lambda _, value: mesh.connect_sync(value),
    "candidates of route_many": option("route_many", "candidates"),
    "timeout_s of fleet": option("fleet", "timeout_s"),
    "timeout_s of nodes": option("nodes", "timeout_s"),
}
for each in KINDS:
    for method in ("generate", "events", "ask", "route", "route_many", "conversation"):
        DOORS[f"{each} of {method}"] = option(method, each)
for each in EMBED_KINDS:
    DOORS[f"{each} of embed"] = option("embed", each)
for each in CONNECT_KINDS:
    DOORS[f"{each} of connect"] = lambda _, value, each=each: mesh.connect(
        HI + ":1", **{each: value}
    )


async def given_to(client: Client, door: Door, value: Any) -> MeshError | None:
    """What it comes to. Nobody answers, so that what is taken ends as ``Unreachable``."""
    try:
        found = door(client, value)
        if isinstance(found, Awaitable):
            await found
        elif isinstance(found, AsyncIterator):
            result = await anext(found, None)
            return result if isinstance(result, MeshError) else None
    except MeshError as error:
        return error
    return None


def tried(doors: dict[str, Door], values: list[Any]) -> list[tuple[str, MeshError | None]]:
    async def run() -> list[tuple[str, MeshError | None]]:
        client = mesh.connect("127.0.0.1:1")
        client._contacts.add("127.0.0.1:1")
        try:
            return [
                (f"{name} <- {type(value).__name__}", await given_to(client, door, value))
                for name, door in doors.items()
                for value in values
            ]
        finally:
            await client.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize("name", sorted(DOORS))
def test_no_odd_value_is_a_raw_error(name: str) -> None:
    for what, error in tried({name: DOORS[name]}, ODD):
        assert error is None or len(error.message) < 700, what
        assert error is None or "\n" not in error.message, what


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values=st.lists(anything, min_size=1, max_size=3), name=st.sampled_from(sorted(DOORS)))
def test_no_drawn_value_is_a_raw_error(name: str, values: list[Any]) -> None:
    tried({name: DOORS[name]}, values)


def test_prompts_may_never_end() -> None:
    async def run() -> None:
        client = mesh.connect("127.0.0.1:1")
        client._contacts.add("127.0.0.1:1")
        with pytest.raises(MeshError):
            await anext(client.route_many(endless()))
        await client.aclose()

    asyncio.run(run())


UNKNOWN: list[tuple[Door, type[MeshError], str]] = [
    (lambda _, __: mesh.connect(timeout=5), ConfigError, "did you mean 'timeout_s'"),  # type: ignore[call-arg]
    (lambda _, __: mesh.connect_sync(discovery=True), ConfigError, "did you mean 'discover'"),  # type: ignore[call-arg]
    (lambda c, _: c.fleet(timeout=5), InvalidRequest, "did you mean 'timeout_s'"),  # type: ignore[call-arg]
    (lambda c, _: c.nodes(name="a"), InvalidRequest, "there are timeout_s"),  # type: ignore[call-arg]
    (lambda c, _: c.embed("a", tennant="x"), InvalidRequest, "did you mean 'tenant'"),  # type: ignore[call-arg]
    (lambda c, _: c.route_many(["a"], candidate=True), InvalidRequest, "'candidates'"),  # type: ignore[call-arg]
    (lambda c, _: c.conversation(sistem="x"), InvalidRequest, "did you mean 'system'"),  # type: ignore[call-arg]
    (lambda c, _: c.conversation().ask("a", sed=1), InvalidRequest, "did you mean 'seed'"),  # type: ignore[call-arg]
    (lambda c, _: c.ask("a", max_token=1), InvalidRequest, "did you mean 'max_tokens'"),  # type: ignore[call-arg]
    (lambda c, _: c.events("a", directt=True), InvalidRequest, "did you mean 'direct'"),  # type: ignore[call-arg]
]


@pytest.mark.parametrize("number", range(len(UNKNOWN)))
def test_an_unknown_option_is_refused_with_what_was_meant(number: int) -> None:
    door, kind, meant = UNKNOWN[number]
    [(_, error)] = tried({"x": door}, [None])
    assert type(error) is kind
    assert meant in error.message


SYNC_CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("generate", (HI,)),
    ("ask", (HI,)),
    ("events", (HI,)),
    ("conversation", ()),
    ("route", (HI,)),
    ("route_many", ([HI],)),
    ("embed", (HI,)),
    ("fleet", ()),
    ("nodes", ()),
]


@pytest.mark.parametrize(("method", "given"), SYNC_CALLS)
def test_what_is_not_connected_says_so(method: str, given: tuple[Any, ...]) -> None:
    async def use(client: Client) -> None:
        found = getattr(client, method)(*given)
        if inspect.isawaitable(found):
            await found
        elif method == "conversation":
            await found.ask("hi")

    with pytest.raises(ConfigError, match=r"not connected; use it in `async with mesh\.connect"):
        asyncio.run(use(mesh.connect()))
    plain = mesh.connect_sync()
    with pytest.raises(ConfigError, match=r"not connected; use it in `with mesh\.connect_sync"):
        getattr(plain, method)(*given)
    plain.close()
    plain.close()


def test_methods_of_the_table_are_all_that_there_are() -> None:
    named = {name for name in dir(Client) if not name.startswith("_")}
    assert {name for name, _ in SYNC_CALLS} == named - {"aclose", "endpoint", "endpoints"}

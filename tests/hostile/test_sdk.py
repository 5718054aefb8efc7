"""The SDK's own door: options misspelt, values of another type, iterators that are dropped."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

import mesh
from mesh.client.embed import KINDS as EMBED_KINDS
from mesh.client.embed import OPTIONAL as EMBED_OPTIONAL
from mesh.client.embed import EmbedOptions, embed_request
from mesh.client.request import KINDS, OPTIONAL, RequestOptions, request_of
from mesh.errors import ConfigError, InvalidRequest
from tests.mesh.fakes import Mesh, orchestrator, until
from tests.mesh.scripted import hang

MATH = "what is 1 + 1?"

# What was written, and what the error must say of it.
MISSPELT = [
    ("max_token", "max_tokens"),
    ("maxtokens", "max_tokens"),
    ("max_new_tokens", "max_tokens"),
    ("Temperature", "temperature"),
    ("temprature", "temperature"),
    ("topp", "top_p"),
    ("stops", "stop"),
    ("timeout", "timeout_s"),
    ("speciality", "specialty"),
    ("request_ids", "request_id"),
    ("xyzzy", "there are cacheable, direct, "),
]
WRONG: list[tuple[str, Any]] = [
    ("max_tokens", "many"),
    ("max_tokens", 1.5),
    ("max_tokens", True),
    ("temperature", "0.5"),
    ("temperature", [0.5]),
    ("top_p", {}),
    ("top_k", 0.5),
    ("min_p", "x"),
    ("repetition_penalty", b"1"),
    ("seed", "7"),
    ("seed", 7.0),
    ("stop", 5),
    ("stop", [1]),
    ("stop", None),
    ("stop", b"end"),
    ("grammar", b"root"),
    ("json_schema", 5),
    ("json_schema", ["a"]),
    ("timeout_s", "5"),
    ("timeout_s", True),
    ("priority", 5),
    ("priority", None),
    ("priority", []),
    ("resume", "no"),
    ("resume", 0),
    ("direct", 1),
    ("request_id", 5),
    ("cacheable", "yes"),
    ("tenant", None),
    ("tenant", 5),
    ("specialty", 5),
    ("model", ["m"]),
]
PROMPTS: list[Any] = [
    5,
    None,
    b"hello",
    {"role": "user", "content": "hi"},
    [],
    [5],
    [{"role": "user"}],
    [{"rol": "system", "content": "hi"}],
    [{"role": "user", "content": 5}],
    [{"role": [], "content": "hi"}],
    [{"role": "user", "content": "hi", "contents": "ho"}],
]
CONNECTS: list[dict[str, Any]] = [
    {"endpoint": 7700},
    {"endpoint": None},
    {"endpoint": [7700]},
    {"endpoint": []},
    {"endpoint": b"127.0.0.1:7700"},
    {"endpoint": "127.0.0.1"},
    {"endpoint": "http://127.0.0.1:7700"},
    {"endpoint": "127.0.0.1:" + "7" * 5000},
    {"endpoint": "\ud800:7700"},
    {"endpoint": [f"127.0.0.1:{port}" for port in range(7000, 7100)]},
    {"endpoints": "127.0.0.1:7700"},
    {"timeout": 5},
    {"timeout_s": "5"},
    {"timeout_s": -1},
    {"timeout_s": float("nan")},
    {"connect_timeout_s": None},
    {"connect_timeout_s": 0},
    {"connect_timeout_s": "1"},
    {"discover": "yes"},
    {"direct": 1},
]


@pytest.mark.parametrize(("name", "meant"), MISSPELT)
def test_a_misspelt_option_is_refused_with_the_name_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(InvalidRequest, match=f"unknown option '{name}'.*{meant}") as raised:
        request_of("hi", {name: 1}, None)  # type: ignore[misc]
    assert "\n" not in raised.value.message


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_value_of_another_type_is_a_typed_error_that_names_the_option(
    name: str, value: Any
) -> None:
    options: Any = {name: value}
    with pytest.raises(InvalidRequest, match=f"{name} must be ") as raised:
        request_of("hi", options, None)
    assert len(raised.value.message) < 200
    if name in EMBED_KINDS:
        with pytest.raises(InvalidRequest, match=f"{name} must be "):
            embed_request("hi", options, None)


@pytest.mark.parametrize("prompt", PROMPTS, ids=repr)
def test_what_is_no_prompt_is_a_typed_error(prompt: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        request_of(prompt, {}, None)
    assert len(raised.value.message) < 200


@pytest.mark.parametrize("texts", [5, None, b"a", [5], [], {"a": 1}], ids=repr)
def test_what_is_no_text_to_embed_is_a_typed_error(texts: Any) -> None:
    with pytest.raises(InvalidRequest):
        embed_request(texts, {}, None)


@pytest.mark.parametrize("given", CONNECTS, ids=lambda given: repr(given)[:60])
@pytest.mark.parametrize("connect", [mesh.connect, mesh.connect_sync])
def test_connect_says_which_of_its_options_is_wrong(
    connect: Callable[..., Any], given: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        connect(**given)


def test_numbers_of_other_libraries_are_numbers() -> None:
    import numpy

    made = request_of(
        "hi", {"max_tokens": numpy.int64(5), "temperature": numpy.float32(1), "top_p": 1}, None
    )
    assert made.sampling.max_tokens == 5


def test_every_option_has_a_kind() -> None:
    assert set(KINDS) == set(RequestOptions.__annotations__)
    assert set(EMBED_KINDS) == set(EmbedOptions.__annotations__)
    assert {"seed", "specialty", "timeout_s"} <= OPTIONAL
    assert set(EMBED_OPTIONAL) <= OPTIONAL


async def test_a_conversations_options_are_checked_where_they_are_said() -> None:
    async with (
        Mesh() as fleet,
        orchestrator(fleet) as whole,
        mesh.connect(whole.endpoint) as client,
    ):
        wrong: list[dict[str, Any]] = [{"max_token": 5}, {"system": 5}, {"seed": "x"}]
        for options in wrong:
            with pytest.raises(InvalidRequest):
                client.conversation(**options)
        with pytest.raises(InvalidRequest):
            client.conversation().generate(5)  # type: ignore[arg-type]
        calls: list[Any] = [client.route, client.embed]
        for call in calls:
            with pytest.raises(InvalidRequest, match="unknown option"):
                await call("hi", prioritty="batch")


@pytest.mark.parametrize("direct", [False, True], ids=["through", "direct"])
async def test_an_iterator_that_is_dropped_frees_its_slot(direct: bool) -> None:
    async with Mesh() as fleet:
        node = await fleet.node("a", slots=4)
        node.scripts = [hang(4)] * 3
        async with orchestrator(fleet) as whole, mesh.connect(whole.endpoint) as client:
            gc.disable()  # counting references is enough
            try:
                async for _ in client.generate(MATH, direct=direct):
                    break
                async for _ in client.events(MATH, direct=direct):
                    break
                async for _ in client.conversation().generate(MATH, direct=direct):
                    break
                await until(lambda: len(node.attempts) == 3 or node.used == 0)
                await until(lambda: node.used == 0, "all slots are free")
            finally:
                gc.enable()


async def test_a_synchronous_iterator_that_is_dropped_frees_its_slot() -> None:
    async with Mesh() as fleet:
        node = await fleet.node("a", slots=4)
        node.scripts = [hang(4)] * 3
        async with orchestrator(fleet) as whole:
            dropped, closed = asyncio.Event(), asyncio.Event()
            loop = asyncio.get_running_loop()

            def use() -> None:
                with mesh.connect_sync(whole.endpoint) as client:
                    for _ in client.generate(MATH):
                        break
                    for _ in client.events(MATH):
                        break
                    for _ in client.conversation().generate(MATH):
                        break
                    loop.call_soon_threadsafe(dropped.set)
                    asyncio.run_coroutine_threadsafe(closed.wait(), loop).result(30)

            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.to_thread(use))
                await dropped.wait()
                assert len(node.attempts) == 3
                await until(lambda: node.used == 0, "all slots are free")
                closed.set()

"""An upstream's faults as the client and the record see them: a node's server, a real runner."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest

from mesh.clock import SystemClock
from mesh.errors import EngineFailed
from mesh.fleet.records import ModelState
from mesh.settings.model import ModelSettings
from mesh.transport.base import Finished, Refused, Tokens
from mesh.types import FinishReason, NodeId, Piece, Sampling
from node.engines.base import ModelSpec
from node.models.hosted import HostedModel, Runner
from node.runner.process import RunnerProcess
from node.serve.server import AttemptServer
from tests.node_fakes import FakeSink, attempt, until
from tests.openai_upstream import (
    DEADLINE_S,
    Upstream,
    error,
    hang_up,
    silence,
    speak,
    status,
    stream,
    upstream,
)

pytestmark = pytest.mark.processes

NODE = NodeId("node-0000000000000001")


def hosted(url: str, **options: Any) -> HostedModel:
    def make_runner(engine: str, spec: ModelSpec, on_change: Callable[[], None]) -> Runner:
        return RunnerProcess(engine, spec, on_change=on_change, clock=SystemClock())

    settings = ModelSettings(
        source="tiny",
        id="toy",
        specialties=("chat",),
        engine="openai",
        slots=2,
        context_length=4096,
        options={"base_url": url, "retries": 0, **options},
    )
    return HostedModel(settings, default_threads=1, make_runner=make_runner, on_change=lambda: None)


@asynccontextmanager
async def running(model: HostedModel) -> AsyncIterator[AttemptServer]:
    server = AttemptServer(NODE, [model], clock=SystemClock(), on_change=lambda: None)
    async with asyncio.timeout(3 * DEADLINE_S), asyncio.TaskGroup() as group:
        task = group.create_task(model.run())
        try:
            yield server
        finally:
            task.cancel()


@asynccontextmanager
async def serving(server: Upstream, **options: Any) -> AsyncIterator[tuple[AttemptServer, Any]]:
    model = hosted(server.url, **options)
    async with running(model) as node:
        await until(lambda: model.state is ModelState.RESIDENT, DEADLINE_S)
        yield node, model


async def answer(server: AttemptServer, **changes: Any) -> list[Any]:
    sink = FakeSink()
    await server.handle(attempt(**changes), sink)
    return sink.events


def text(events: list[Any]) -> str:
    return "".join(p.text for e in events if isinstance(e, Tokens) for p in e.pieces)


async def test_an_answer_has_the_upstreams_counts_and_the_record_its_price() -> None:
    with upstream(words=5) as up:
        async with serving(up, tier="premium", input_price=1.0, output_price=2.5) as (node, model):
            events = await answer(node)
            assert text(events) == "tok0 tok1 tok2 tok3 tok4 "
            done = events[-1]
            assert isinstance(done, Finished)
            assert done.reason is FinishReason.STOP
            assert (done.usage.prompt_tokens, done.usage.cached_tokens) == (5, 3)
            record = model.record()
            assert (record.tier, record.input_price, record.output_price) == ("premium", 1.0, 2.5)
            assert record.device == "upstream (llama_server)"


async def test_the_key_is_in_the_requests_and_in_neither_record_nor_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "sk-very-secret-1234"
    monkeypatch.setenv("UPSTREAM_KEY", secret)
    with upstream(error(500, f"bad key {secret}")) as up:
        async with serving(up, api_key_env="UPSTREAM_KEY") as (node, model):
            with pytest.raises(EngineFailed) as caught:
                await answer(node)
            assert all(r.headers["authorization"] == f"Bearer {secret}" for r in up.requests)
            assert "bad key ***" in (model.record().error or "")
            assert secret not in repr(model.record())
            assert secret not in caught.value.message
            runners = psutil.Process().children(recursive=True)
            assert runners
            assert not any(secret in word for runner in runners for word in runner.cmdline())


async def test_stop_strings_hold_across_pieces_and_are_not_delivered() -> None:
    with upstream() as up:
        async with serving(up) as (node, _):
            events = await answer(node, sampling=Sampling(stop=("k3 tok",)))
            assert text(events) == "tok0 tok1 tok2 to"
            assert events[-1].reason is FinishReason.STOP_STRING


async def test_a_resume_goes_on_by_text_and_counts_what_was_delivered() -> None:
    with upstream() as up:
        async with serving(up) as (node, _):
            delivered = tuple(Piece(id=n, text=f"tok{n} ") for n in range(3))
            events = await answer(
                node, delivered=delivered, tokenizer_hash="", sampling=Sampling(max_tokens=5)
            )
            assert text(events) == "tok3 tok4 "
            assert events[-1].reason is FinishReason.LENGTH
            assert next(e.first for e in events if isinstance(e, Tokens)) == 3


async def test_overload_is_a_refusal_with_its_time_and_no_fault_of_the_model() -> None:
    with upstream(error(429, "slow down", Retry_After="7"), speak) as up:
        async with serving(up) as (node, model):
            refused = (await answer(node))[-1]
            assert isinstance(refused, Refused)
            assert (refused.code, refused.retry_after_s) == ("overloaded", 7.0)
            assert "slow down" in refused.message
            assert model.record().error is None
            assert isinstance((await answer(node, sampling=Sampling(max_tokens=2)))[-1], Finished)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (error(500, "cuda died"), "500.*cuda died"),
        (status(502, "<title>Bad Gateway</title>", "text/html"), "502.*Bad Gateway"),
        (stream("a ", "b ", then=hang_up), "broke off"),
        (status(200, "garbage"), "no chat completion: garbage"),
        (silence, "no token within 0.3 s"),
    ],
)
async def test_a_failure_is_told_to_both_and_forgotten_after_the_next_good_answer(
    fault: Any, words: str
) -> None:
    with upstream(fault, speak) as up:
        async with serving(up, first_token_timeout_s=0.3) as (node, model):
            with pytest.raises(EngineFailed, match=words) as caught:
                await answer(node)
            assert model.record().error == caught.value.message
            assert model.record().state is ModelState.RESIDENT, "the runner goes on"
            assert model.used_slots == 0
            assert isinstance((await answer(node, sampling=Sampling(max_tokens=2)))[-1], Finished)
            assert model.record().error is None
            assert model.record().last_error == caught.value.message, "for who looks later"


async def test_a_key_that_is_revoked_fails_the_model_with_that_reason() -> None:
    gone = error(401, "key revoked")
    with upstream(gone) as up:
        async with serving(up) as (node, model):
            up.listing = gone
            with pytest.raises(EngineFailed):
                await answer(node)
            await until(lambda: model.state is ModelState.FAILED, DEADLINE_S)
            record = model.record()
            assert "401" in (record.error or "")
            assert "key revoked" in (record.error or "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"listing": error(401, "who are you")}, "who are you"),
        ({"models": ("other",)}, "no model 'tiny'; it has other"),
    ],
)
async def test_what_only_a_person_can_mend_fails_the_model_at_load(
    changes: dict[str, Any], words: str
) -> None:
    with upstream(**changes) as up:
        model = hosted(up.url)
        async with running(model) as node:
            await until(lambda: model.state is ModelState.FAILED, DEADLINE_S)
            assert words in (model.record().error or "")
            refused = (await answer(node))[-1]
            assert isinstance(refused, Refused)
            assert words in refused.message


async def test_an_upstream_that_is_not_up_yet_is_waited_for_and_the_record_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    model = hosted(f"http://127.0.0.1:{port}/v1")
    async with running(model):
        await until(lambda: model.record().error is not None, DEADLINE_S)
        assert model.state is ModelState.LOADING
        assert "cannot be reached" in (model.record().error or "")
        with upstream(port=port):
            await until(lambda: model.state is ModelState.RESIDENT, DEADLINE_S)
            assert model.record().error is None


async def test_a_client_that_leaves_closes_the_upstreams_connection_and_frees_the_slot() -> None:
    with upstream(words=10**9) as up:
        async with serving(up) as (node, model):
            sink = FakeSink()
            task = asyncio.create_task(
                node.handle(attempt(sampling=Sampling(max_tokens=10**6)), sink)
            )
            await until(lambda: len(sink.events) > 20, DEADLINE_S)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: model.used_slots == 0, DEADLINE_S)
            assert await asyncio.to_thread(up.closed_by_client.wait, DEADLINE_S)

"""The border of a gRPC server: what an error becomes, and what is left of a request after it."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest

from mesh.errors import InvalidRequest, MeshError, without_frames
from mesh.protobuf import server
from mesh.protobuf.server import guarded
from mesh.types import RequestId


class Aborted(Exception):
    pass


class Context:
    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone
        self.told: tuple[Any, ...] = ()

    def cancelled(self) -> bool:
        return self.gone

    def done(self) -> bool:
        return self.gone

    async def abort(self, *told: Any) -> None:
        self.told = told
        raise Aborted


class Held:
    """Stands for a request's bytes."""


async def ended(context: Context, make: Callable[[], BaseException]) -> weakref.ref[Held]:
    held = Held()
    seen = weakref.ref(held)

    async def answer(held: Held = held) -> None:
        raise make()

    del held
    with suppress(Aborted, asyncio.CancelledError):
        await guarded(context, RequestId("0" * 32), "the node", answer)
    return seen


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("kind", [InvalidRequest, MeshError, ValueError, asyncio.CancelledError])
async def test_nothing_of_a_request_outlives_its_error(
    kind: type[BaseException], gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the collector: a circle of an error and its frames is found late, or never."""
    monkeypatch.setattr(server.log, "disabled", True)  # what pytest keeps of it has tracebacks
    gc.collect()
    gc.disable()
    try:
        seen = await ended(Context(gone=gone), lambda: kind("it was wrong"))
        await asyncio.sleep(0)
        assert seen() is None
    finally:
        gc.enable()


async def test_a_client_that_has_left_is_nobodys_defect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = Context(gone=True)
    with caplog.at_level(logging.INFO):
        await ended(context, lambda: ExceptionGroup("a write", [RuntimeError("it is over")]))
    assert not caplog.records
    assert not context.told


async def test_a_write_that_grpc_could_not_do_is_a_client_that_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = Context()  # which does not know it yet
    with caplog.at_level(logging.INFO):
        await ended(context, lambda: grpc.aio.InternalError("Failed execute_batch"))
    assert not caplog.records
    assert not context.told


async def test_a_defect_is_logged_and_told_as_one() -> None:
    context = Context()
    await ended(context, lambda: ValueError("it was wrong"))
    assert "a defect of the node: ValueError; see its log" in context.told[1]


def test_an_error_without_frames_has_none_and_none_of_what_led_to_it_has() -> None:
    def fail() -> None:
        try:
            raise ValueError("first")
        except ValueError as first:
            group = ExceptionGroup("some", [first])
            raise InvalidRequest("it was wrong") from group

    caught: list[BaseException] = []
    try:
        fail()
    except InvalidRequest as error:
        caught.append(without_frames(error))
    (error,) = caught
    assert isinstance(error.__cause__, ExceptionGroup)
    first = error.__cause__.exceptions[0]
    assert [each.__traceback__ for each in (error, error.__cause__, first)] == [None] * 3

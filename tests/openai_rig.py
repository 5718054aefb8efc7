"""Engine ``openai`` on a server of ``tests/openai_upstream.py``: to load, to ask, to read."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from mesh.errors import MeshError
from mesh.types import Message, Role, Sampling
from node.engines.base import Emission, Ended, Failed, ModelFacts, ModelSpec, Token
from node.engines.openai.engine import OpenAiEngine
from tests.openai_upstream import DEADLINE_S, Upstream

NOBODY: frozenset[int] = frozenset()
HELLO = (Message.of(Role.USER, "hello there"),)
QUICK = {"retries": 1, "retry_within_s": 1.0, "connect_timeout_s": 2.0}


class Patient:
    """An engine whose ``step`` waits until every slot that can go on has got on, as engines that
    make their tokens themselves do. ``wait_s``: for all of them."""

    def __init__(self, engine: OpenAiEngine, wait_s: float = DEADLINE_S) -> None:
        self.engine = engine
        self._wait_s = wait_s
        self._going: set[int] = set()

    def load(self, spec: ModelSpec) -> ModelFacts:
        return self.engine.load(spec)

    def open(self, slot: int, *request: Any) -> int:
        prompt = self.engine.open(slot, *request)
        self._going.add(slot)
        return prompt

    def embed(self, slot: int, texts: Sequence[str]) -> int:
        tokens = self.engine.embed(slot, texts)
        self._going.add(slot)
        return tokens

    def step(self, held: frozenset[int]) -> Sequence[Emission]:
        found: list[Emission] = []
        until = time.monotonic() + self._wait_s
        while missing := self._going - held - {e.slot for e in found}:
            emissions = self.engine.step(held | (self._going - missing))
            found += emissions
            self._going -= {e.slot for e in emissions if isinstance(e, Ended | Failed)}
            if not emissions:
                left = until - time.monotonic()
                if left < 0:
                    raise TimeoutError(f"slots {missing} got nothing")
                select.select([self.engine.wake_fd], [], [], left)
        return found

    def close(self, slot: int) -> None:
        self._going.discard(slot)
        self.engine.close(slot)

    def unload(self) -> None:
        self.engine.unload()


def spec(url: str, **options: Any) -> ModelSpec:
    return ModelSpec(
        id="m",
        source="tiny",
        slots=4,
        context_length=4096,
        threads=1,
        options={"base_url": url, **QUICK, **options},
    )


@contextmanager
def loaded(server: Upstream, **options: Any) -> Iterator[Patient]:
    engine = Patient(OpenAiEngine())
    try:
        engine.load(spec(server.url, **options))
        yield engine
    finally:
        engine.unload()


def load_error(url: str, **options: Any) -> MeshError:
    engine = OpenAiEngine()
    with pytest.raises(MeshError) as caught:
        engine.load(spec(url, **options))
    engine.unload()
    assert "\n" not in caught.value.message
    return caught.value


def until_over(engine: Patient, slot: int = 0) -> list[Emission]:
    found: list[Emission] = []
    while not any(isinstance(e, Ended | Failed) and e.slot == slot for e in found):
        emissions = engine.step(NOBODY)
        assert emissions
        found += emissions
    return found


def ask(engine: Patient, text: str = "", slot: int = 0, **sampling: Any) -> list[Emission]:
    engine.open(slot, HELLO, Sampling(**sampling), (), text)
    try:
        return until_over(engine, slot)
    finally:
        engine.close(slot)


def said(emissions: Sequence[Emission]) -> str:
    return b"".join(e.data for e in emissions if isinstance(e, Token)).decode()


def failure(emissions: Sequence[Emission]) -> MeshError:
    last = emissions[-1]
    assert isinstance(last, Failed), last
    assert "\n" not in last.error.message
    return last.error


def ended(emissions: Sequence[Emission]) -> str:
    last = emissions[-1]
    assert isinstance(last, Ended), last
    return last.reason


def assert_words(found: MeshError, words: str) -> None:
    with pytest.raises(MeshError, match=words):
        raise found


def wait_for(condition: Callable[[], bool], seconds: float = DEADLINE_S) -> bool:
    """Whether it came to hold in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.002)
    return False

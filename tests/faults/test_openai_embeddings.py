"""Engine ``openai`` when the upstream that should embed fails: one clear error, nobody hurt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.errors import (
    ContextOverflow,
    EngineFailed,
    MeshError,
    NotServed,
    Overloaded,
)
from node.engines.base import Counted, Embedded, Emission, Ended, Failed
from tests.openai_rig import NOBODY, Patient, assert_words, failure, loaded, wait_for
from tests.openai_upstream import Behaviour, embed, error, hang_up, silence, status, upstream

pytestmark = pytest.mark.timeout(60)

TEXTS = ("one", "two words")


def asked(engine: Patient, slot: int = 0) -> list[Emission]:
    engine.embed(slot, TEXTS)
    found: list[Emission] = []
    while not any(isinstance(each, Ended | Failed) for each in found):
        found += engine.step(NOBODY)
    engine.close(slot)
    return found


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (error(404, "no such model"), EngineFailed, "no model 'tiny', or not for what it is asked"),
        (error(400, "Input is longer than the context size"), ContextOverflow, "too short"),
        (error(413, "too large"), ContextOverflow, "too large"),
        (error(422, "bad input"), NotServed, "refuses the request"),
        (error(429, "slow down"), Overloaded, "slow down"),
        (error(500, "broken"), EngineFailed, r"failed \(500\): broken"),
        (status(200, "[]"), EngineFailed, "what are no embeddings"),
        (status(200, '{"data": []}'), EngineFailed, "0 vectors for 2 texts"),
        (status(200, json.dumps({"error": "dead"})), EngineFailed, "dead"),
        (status(302, location="http://elsewhere/"), EngineFailed, "redirects"),
        (hang_up, EngineFailed, "broke off"),
    ],
)
def test_each_trouble_is_one_error_and_the_engine_goes_on(
    trouble: Behaviour, kind: type[MeshError], words: str
) -> None:
    with (
        upstream(trouble, trouble, embed) as server,
        loaded(server, embedding=True, retries=1) as engine,
    ):
        if kind is EngineFailed and "no model" in words:
            # No request will go well until somebody acts: the runner is to end.
            with pytest.raises(EngineFailed, match=words):
                asked(engine)
            return
        found: Any = asked(engine)
        tries = 0
        while isinstance(found[-1], Failed):
            assert isinstance(failure(found), kind)
            assert_words(failure(found), words)
            tries += 1
            found = asked(engine)
        assert 1 <= tries <= 2
        assert any(isinstance(each, Embedded) for each in found)


def test_a_short_overload_is_waited_out() -> None:
    with (
        upstream(error(503, "starting", retry_after="0"), embed) as server,
        loaded(server, embedding=True) as engine,
    ):
        found = asked(engine)
        assert [type(each) for each in found] == [Counted, Embedded, Ended]
        assert len(server.asked) == 2
        assert server.asked[0].path.endswith("/v1/embeddings")
        assert server.asked[0]["input"] == list(TEXTS)


def test_a_silent_upstream_is_given_up_in_its_time() -> None:
    with (
        upstream(silence, embed) as server,
        loaded(server, embedding=True, first_token_timeout_s=0.2, retries=0) as engine,
    ):
        assert_words(failure(asked(engine)), "no vectors within 0.2 s")


def test_a_slot_closed_midway_closes_the_connection() -> None:
    with upstream(silence, embed) as server, loaded(server, embedding=True) as engine:
        engine.embed(0, TEXTS)
        assert wait_for(lambda: bool(server.asked))
        engine.close(0)
        assert server.closed_by_client.wait(20.0)
        assert any(isinstance(each, Embedded) for each in asked(engine))

"""Real processes: what a node measures and counts is what `mesh status` lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.fleet.records import ModelCounts, ModelState
from tests.residence import ask, residence, seen, specialist

pytestmark = [pytest.mark.processes, pytest.mark.engine, pytest.mark.timeout(180)]
pytest.importorskip("llama_cpp")


async def test_reuse_and_guesses_are_listed_and_outlive_an_unload(tmp_path: Path) -> None:
    guessing = specialist("math", ttl_s=4.0, options={"speculative": {"ngram": 1}})
    async with residence(tmp_path, [guessing]) as (_, _, client):
        for _ in range(2):
            await ask(client, "math")
        found = await seen(client, lambda m: m["math"].counts.sequences == 2)
        counts = found["math"].counts
        assert counts.reused >= 1, "the second prompt is the first one"
        assert 0 < counts.reused_tokens < counts.prompt_tokens
        assert 0 <= counts.accepted_tokens <= counts.drafted_tokens
        cold = await seen(client, lambda m: m["math"].state is ModelState.COLD)
        assert cold["math"].counts == counts


async def test_speeds_are_listed_and_what_measured_them_is_not_counted(tmp_path: Path) -> None:
    async with residence(tmp_path, [specialist("math")]) as (_, _, client):
        found = await seen(client, lambda m: m["math"].decode_tps_full > 0)
        record = found["math"]
        assert record.prefill_tps > 0
        assert record.decode_tps > 0
        assert record.counts == ModelCounts()
        route = await client.route("What is 2 + 3?", specialty="math")
        assert "an answer in about" in route.candidates[0].reason

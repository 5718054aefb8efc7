"""Each attempt is a span of the request's trace, and the span says how it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from mesh.telemetry import spans
from mesh.types import FinishReason
from orchestrator.attempts.hedge import HedgePolicy
from tests.attempt_rig import FakeNode, rig

Ended = Callable[[], tuple[ReadableSpan, ...]]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Ended:
    """The spans that ended, in order."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    kept = (trace.get_tracer_provider(), provider.get_tracer("test"))
    monkeypatch.setattr(spans, "_kept", kept)
    return exporter.get_finished_spans


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_attempts_say_where_they_were_and_how_they_ended(ended: Ended) -> None:
    nodes = [FakeNode(name) for name in "abc"]
    async with rig(*nodes) as here:
        here.ask()
        await here.settle()
        nodes[0].slots = 0
        nodes[0].stream.refuse()
        await here.settle()
        nodes[1].stream.accept()
        nodes[1].stream.tokens(2)
        nodes[1].stream.lose()
        await here.settle()
        sent = nodes[2].stream.attempt
        nodes[2].stream.accept()
        nodes[2].stream.tokens(1)
        nodes[2].stream.finish()
        await here.settle()
    refused, broken, finished = ended()
    assert [span.name for span in ended()] == ["attempt"] * 3
    assert said(refused)["squadron.refused"] == "overloaded"
    assert said(refused)["squadron.node.name"] == "a"
    assert said(broken)["error.type"] == "node_lost"
    assert broken.status.status_code is StatusCode.ERROR
    assert broken.status.description == "the link broke"
    assert said(finished) == {
        "squadron.attempt": 2,
        "squadron.hedge": False,
        "squadron.node.id": nodes[2].id,
        "squadron.node.name": "c",
        "squadron.placement.reason": "it is free",
        "squadron.delivered_tokens": 2,
        "gen_ai.request.model": "toy",
        "gen_ai.response.finish_reasons": (FinishReason.STOP,),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
    }
    assert finished.context is not None
    assert f"{finished.context.span_id:016x}" in sent.traceparent


@pytest.mark.parametrize("winner", ["a", "b"])
async def test_a_hedge_says_whether_it_won(ended: Ended, winner: str) -> None:
    nodes = [FakeNode("a"), FakeNode("b")]
    async with rig(*nodes, hedging=HedgePolicy(after_s=1.0)) as here:
        here.ask()
        await here.advance(1.0)
        stream = nodes["ab".index(winner)].stream
        stream.accept()
        stream.tokens(1)
        stream.finish()
        await here.settle()
    loser, won = ended()
    hedge = won if winner == "b" else loser
    assert said(hedge)["squadron.hedge"] is True
    assert said(hedge)["squadron.hedge.won"] is (winner == "b")
    assert said(hedge)["squadron.attempt"] == 2
    assert "gen_ai.usage.output_tokens" in said(won)
    assert "gen_ai.usage.output_tokens" not in said(loser)

"""What a prompt says stays out of traces unless the operator wants it there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mesh.telemetry import spans
from mesh.types import Specialty
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.cascade import Cascade
from tests.mesh.fakes import Mesh, request
from tests.stage_rig import placed

SECRET = "the number of my account is 4711"


@dataclass(slots=True)
class Quotes:
    """A stage that quotes the prompt in its note."""

    name: str = "exact"

    def decide(self, features: Features) -> Verdict | Abstain:
        return Abstain(f"not a sum: {features.last_user}")


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[ReadableSpan, ...]]:
    """The spans that ended, with all that they carry."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    kept = (trace.get_tracer_provider(), provider.get_tracer("test"))
    monkeypatch.setattr(spans, "_kept", kept)
    return exporter.get_finished_spans


@pytest.mark.parametrize("wanted", [False, True])
async def test_a_stages_note_is_on_the_span_only_where_the_settings_say_so(
    ended: Callable[[], tuple[ReadableSpan, ...]], wanted: bool
) -> None:
    async with Mesh(notes_in_traces=wanted) as mesh:
        await mesh.node("a")
        mesh.cascades.current = Cascade(placed(Quotes()), Specialty("math"))
        async for _ in mesh.answered(request(SECRET)):
            pass
    written = "".join(span.to_json() for span in ended())
    assert '"squadron.stage": "fallback"' in written
    assert (SECRET in written) is wanted

"""Whether an engine, with the model that it loaded, can do what a request asks. Refused if not."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from mesh.errors import CannotAnswer, EngineFailed
from mesh.types import Sampling
from node.engines.base import Embeds, Engine, ModelFacts


@runtime_checkable
class Constrains(Protocol):
    """An engine that says whether its answers keep to ``Sampling``'s grammar and json_schema. One
    that does not say is taken for one that would ignore them."""

    constrains: bool


def check_form(engine: Engine, sampling: Sampling) -> None:
    """Raises ``CannotAnswer`` when a form is asked for that ``engine`` would not keep to."""
    if not sampling.bound:
        return
    if not (isinstance(engine, Constrains) and engine.constrains):
        raise CannotAnswer(
            "this model's engine cannot keep an answer to a grammar or JSON schema; ask a model "
            "whose engine does"
        )


def check_answers(facts: ModelFacts) -> None:
    """Raises ``CannotAnswer`` for a model that only makes embeddings."""
    if facts.embeds:
        raise CannotAnswer("this model makes embeddings and no answers; ask another for the answer")


def embedder(engine: Engine, facts: ModelFacts) -> Embeds:
    """The engine, as one that embeds. Raises ``CannotAnswer`` for a model that answers instead, and
    ``EngineFailed`` for an engine that promised what it has no way to do."""
    if not facts.embeds:
        raise CannotAnswer("this model gives answers and makes no embeddings; ask one that does")
    if not isinstance(engine, Embeds):
        raise EngineFailed("the engine says that its model embeds, and has no `embed`")
    return engine

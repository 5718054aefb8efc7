"""Engines under test: how each is loaded, and what is asked of all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from mesh.types import Message, Role, Sampling
from node.engines.base import Emission, Ended, Engine, ModelSpec, Token
from node.engines.llama_cpp.engine import LlamaCppEngine
from node.engines.openai.engine import OpenAiEngine
from node.engines.simulated.engine import SimulatedEngine
from tests import torch_folder
from tests.gguf import write_random
from tests.openai_rig import Patient
from tests.openai_upstream import upstream

SLOTS, CONTEXT = 4, 128
NOBODY: frozenset[int] = frozenset()
Loader = Callable[..., Engine]


def user(text: str) -> tuple[Message, ...]:
    return (Message.of(Role.USER, text),)


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("engines") / "random.gguf", seed=3)


@pytest.fixture(scope="session")
def torch_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return torch_folder.write_random(tmp_path_factory.mktemp("engines") / "torch", seed=3)


def spec(source: str, **changes: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "id": "tiny",
        "source": source,
        "slots": SLOTS,
        "context_length": CONTEXT,
        "threads": 1,
    }
    return ModelSpec(**(values | changes))


@pytest.fixture
def load(request: pytest.FixtureRequest, random_model: Path) -> Iterator[Loader]:
    """Loads the engine under test; keyword arguments change its ``ModelSpec``."""
    with ExitStack() as cleanup:

        def make(**changes: Any) -> Engine:
            engine: Engine
            source = str(random_model)
            match request.param:
                case "simulated":
                    engine = SimulatedEngine(sleep=lambda _: None)
                    changes.setdefault("options", {"words": 1000})
                case "openai":
                    server = cleanup.enter_context(upstream(words=1_000_000, context=CONTEXT))
                    engine, source = Patient(OpenAiEngine()), server.models[0]
                    changes.setdefault("options", {"base_url": server.url})
                case "torch":
                    from node.engines.torch.engine import TorchEngine

                    engine = TorchEngine(seconds=lambda: 0.0)  # no chunk hangs on the time
                    source = str(request.getfixturevalue("torch_model"))
                case _:
                    engine = LlamaCppEngine()
            engine.load(spec(source, **changes))
            cleanup.callback(engine.unload)
            return engine

        yield make


torch = pytest.mark.skipif(
    find_spec("torch") is None or find_spec("transformers") is None,
    reason="engine torch is an extra: pip install 'squadron-mesh[torch]'",
)
BOTH = [
    "simulated",
    pytest.param("llama_cpp", marks=pytest.mark.engine),
    pytest.param("torch", marks=torch),
]
# An upstream counts tokens in its own way and knows no ids: what hangs on these is for the others.
every = pytest.mark.parametrize("load", [*BOTH, "openai"], indirect=True)
both = pytest.mark.parametrize("load", BOTH, indirect=True)
llama = pytest.mark.engine


def steps(engine: Engine, count: int, held: frozenset[int] = NOBODY) -> list[Emission]:
    return [emission for _ in range(count) for emission in engine.step(held)]


def answer(emissions: Sequence[Emission], slot: int = 0) -> list[int]:
    return [e.id for e in emissions if isinstance(e, Token) and e.slot == slot]


def generate(
    engine: Engine,
    count: int,
    *,
    text: str = "hello user",
    slot: int = 0,
    sampling: Sampling | None = None,
    delivered: Sequence[int] = (),
) -> list[int]:
    """The next ``count`` tokens after ``delivered``; closes the slot."""
    engine.open(slot, user(text), sampling or Sampling(), delivered, "")
    found: list[int] = []
    while len(found) < count:
        emissions = engine.step(NOBODY)
        assert emissions, "a step with work returns something"
        found += answer(emissions, slot)
        if any(isinstance(e, Ended) for e in emissions):
            break
    engine.close(slot)
    return found

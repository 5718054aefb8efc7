"""Fixtures of the engines' suites, and the wires of the transport's."""

import pytest

from tests.engine_rig import load, random_model, torch_model

__all__ = ["kind", "load", "random_model", "torch_model"]


@pytest.fixture(params=["twin", "zeromq", "grpc"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)

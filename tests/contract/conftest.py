"""Fixtures of the engines' suites."""

from tests.engine_rig import load, random_model, torch_model

__all__ = ["load", "random_model", "torch_model"]

"""A model's options as an engine's own table of them, and the sizes that no engine can have."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mesh.errors import ConfigError, ModelFileError
from node.engines.base import ModelSpec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def options_of(spec: ModelSpec, engine: str, kind: type[T]) -> T:
    """``kind``: a dataclass, a field an option. Raises ``ConfigError`` for a name that is none of
    them and for a value of another type."""
    names = sorted(field.name for field in fields(kind))
    for option in spec.options:
        if option not in names:
            raise ConfigError(
                f"model '{spec.id}': engine {engine} has no option '{option}'; known: "
                f"{', '.join(names)}"
            )
    try:
        return msgspec.convert(spec.options, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"model '{spec.id}': engine {engine}: {error}") from None


def check_sizes(spec: ModelSpec) -> None:
    """Raises ``ModelFileError`` for no slots and for no context."""
    if spec.slots < 1:
        raise ModelFileError(f"model '{spec.id}': slots must be at least 1, not {spec.slots}")
    if spec.context_length < 1:
        raise ModelFileError(
            f"model '{spec.id}': context_length must be at least 1 token, not {spec.context_length}"
        )


def check_trained(spec: ModelSpec, most: int) -> None:
    """``most``: tokens that the model was trained for, 0 where it does not say. Raises
    ``ModelFileError`` for a longer context."""
    if most and spec.context_length > most:
        raise ModelFileError(
            f"model '{spec.id}': a context of {spec.context_length} tokens is more than the {most} "
            f"it was trained for; set context_length to at most {most}"
        )

"""A model's options as an engine's own table of them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mesh.errors import ConfigError
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

"""Parts that are found by entry point: how one is imported, and the line that says why not."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from mesh.errors import ConfigError


def loaded(point: EntryPoint, what: str) -> Any:
    """What the entry point names. ``what``: such as ``stage``, for the error. Raises
    ``ConfigError`` where it, or what it needs, cannot be imported."""
    try:
        return point.load()
    except (ImportError, AttributeError, OSError) as error:  # OSError: a shared library is missing
        raise ConfigError(
            f"{what} '{point.name}' ({point.value}) cannot be loaded: {error}; install what it "
            "needs"
        ) from None

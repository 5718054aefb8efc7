"""The toy models, as real files of a few megabytes for real engines."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "specialists"


def toy_model(name: str) -> Path:
    """``math``, ``code`` or ``chat``."""
    return FOLDER / f"{name}.gguf"

"""What an engine that reads text only says to an image. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.errors import CannotAnswer
from mesh.parts import beyond_text
from mesh.types import Image, Message


def refuse_images(messages: Sequence[Message]) -> None:
    """Raises ``CannotAnswer`` that names the first image."""
    for where, part in beyond_text(messages):
        if isinstance(part, Image):
            raise CannotAnswer(
                f"{where} is an image, and this model reads text only; leave it out or ask a model "
                "that sees"
            )

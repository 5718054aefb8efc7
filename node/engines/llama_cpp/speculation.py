"""Guesses what comes next from what was said before, for llama.cpp to check in one batch.

Prompt lookup decoding (Saxena, 2023): text that quotes its prompt or repeats itself goes on as it
did the last time. A wrong guess costs its share of a batch; a right one saves a whole step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.errors import ConfigError
from node.engines.base import ModelSpec

LONGEST_NGRAM = 16
LONGEST_DRAFT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Speculation:
    """The option ``speculative``: the last ``ngram`` tokens are looked up, and up to ``draft``
    tokens that followed them are guessed."""

    ngram: int = 3
    draft: int = 8


def speculation_of(spec: ModelSpec) -> Speculation | None:
    """None where the option is not set. Raises ``ConfigError``."""
    option = spec.options.get("speculative")
    if option is None or option is False:
        return None
    if option is True:
        return Speculation()
    limits = {"ngram": LONGEST_NGRAM, "draft": LONGEST_DRAFT}
    if not isinstance(option, dict) or set(option) - set(limits):
        raise ConfigError(
            f"model '{spec.id}': option 'speculative' must be a table such as "
            f"{{ngram = 3, draft = 8}}, not {option!r}"
        )
    for name, most in limits.items():
        value = option.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ConfigError(
                f"model '{spec.id}': option 'speculative': {name} must be 1 to {most}, not "
                f"{value!r}"
            )
    return Speculation(**option)


class Lookup:
    """Remembers what followed each n-gram of one growing sequence; as large as the sequence."""

    def __init__(self, speculation: Speculation) -> None:
        self._ngram, self._draft = speculation.ngram, speculation.draft
        self._following: dict[tuple[int, ...], int] = {}  # n-gram -> index of what came after it
        self._known = 0

    def propose(self, tokens: Sequence[int], most: int) -> list[int]:
        """At most ``most`` tokens that may come after ``tokens``, which may only have grown since
        the last call; [] when their end was not seen before."""
        ngram = self._ngram
        for after in range(max(self._known, ngram), len(tokens)):
            self._following[tuple(tokens[after - ngram : after])] = after
        self._known = max(self._known, len(tokens))
        at = self._following.get(tuple(tokens[-ngram:])) if len(tokens) >= ngram else None
        if at is None:
            return []
        guess = list(tokens[at : at + min(most, self._draft)])
        while len(guess) < min(most, self._draft):  # it repeats itself, and so may the guess
            guess.append(guess[at - len(tokens)])
        return guess

"""How specialties answer: the table ``[specialties.NAME]`` of an orchestrator's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mesh.errors import ConfigError, InvalidRequest
from mesh.manners import SETTLED, settled
from mesh.types import SPECIALTY_PATTERN, Manner, SaidSampling
from mesh.validation import check_sampling, check_system


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialtySettings:
    """``system``: text for the model, put before conversations whose client gives none; "" for
    none. The rest: as in ``mesh.types.SaidSampling``, for clients that do not say; None for the
    mesh's default."""

    system: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        try:
            check_sampling(self.said)
            check_system(self.system)
        except InvalidRequest as error:
            raise ConfigError(f"{where}: {error.message}") from None

    @property
    def said(self) -> SaidSampling:
        """What of the sampling is set."""
        return SaidSampling(**{name: getattr(self, name) for name in SETTLED})

    @property
    def manner(self) -> Manner:
        """How the specialty answers."""
        return Manner(sampling=settled(self.said), system=self.system.strip())


def check_specialties(specialties: Mapping[str, SpecialtySettings], where: str) -> None:
    """Raises ``ConfigError``."""
    for name, each in specialties.items():
        if not SPECIALTY_PATTERN.fullmatch(name):
            raise ConfigError(f"{where}: specialties: '{name}' is not a specialty name")
        each.check(f"{where}: specialties.{name}")


def manners(specialties: Mapping[str, SpecialtySettings]) -> dict[str, Manner]:
    """By specialty; whoever is not in it answers in the mesh's default manner."""
    return {name: each.manner for name, each in specialties.items()}


_SOBER = (
    "You are a small language model on the user's own computer. Answer briefly and in plain words. "
    "Say so when you do not know."
)
# Of 16 answers of the first model in prose, 7 ran past 500 tokens in circles without it, none with.
_ONWARDS = 1.1
# What `mesh up` comes with, for models as small as its own: sums and code are to be right rather
# than varied, a talk is not to turn in circles.
SHIPPED = {
    "chat": SpecialtySettings(system=_SOBER, temperature=0.8, repetition_penalty=_ONWARDS),
    "knowledge": SpecialtySettings(system=_SOBER, temperature=0.3, repetition_penalty=_ONWARDS),
    "logic": SpecialtySettings(system=_SOBER, temperature=0.3, repetition_penalty=_ONWARDS),
    "math": SpecialtySettings(
        system="Work it out in short steps, and end with the result.", temperature=0.0
    ),
    "code": SpecialtySettings(
        system="Answer with code that runs, and one sentence about it.", temperature=0.2
    ),
}

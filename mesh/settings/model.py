"""Settings of one model that a node hosts: ``[[models]]`` of a node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mesh.errors import ConfigError
from mesh.types import SPECIALTY_PATTERN

ENGINE = "llama_cpp"  # unless another is said


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """``source``: a GGUF path, ``hf:OWNER/REPO[:QUANT]``, ``hf:OWNER/REPO/FILE``, or what the
    engine names as its model. ``context_length`` None: what the file says, capped at 8192.
    ``threads`` None: physical cores. ``gpu_layers``: -1 all there is, 0 none; a positive number
    asks for a GPU and fails without one. ``allow_cpu``: what is meant for a GPU may run on the CPU
    where it does not fit or none is usable. ``pinned``: never unloaded. ``ttl_s``: unloaded after
    so many seconds without use; None: only when others need the memory. ``memory_bytes``: what it
    takes on its device, for engines that cannot tell before they load; None: what the file says,
    else nothing is planned for it."""

    source: str
    specialties: tuple[str, ...]
    id: str | None = None
    engine: str = ENGINE
    context_length: int | None = None
    slots: int = 4
    threads: int | None = None
    gpu_layers: int = -1
    allow_cpu: bool = False
    pinned: bool = False
    ttl_s: float | None = None
    memory_bytes: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        if not self.specialties:
            raise ConfigError(f"{where}: model '{self.source}' has no specialty; give at least one")
        for specialty in self.specialties:
            if not SPECIALTY_PATTERN.fullmatch(specialty):
                raise ConfigError(
                    f"{where}: specialty '{specialty}' is not a name: lower-case letters, digits, "
                    "'-' and '_', starting with a letter, at most 32"
                )
        if not 1 <= self.slots <= 64:
            raise ConfigError(f"{where}: slots must be 1 to 64, not {self.slots}")
        if self.ttl_s is not None and not 1.0 <= self.ttl_s <= 31_536_000.0:
            raise ConfigError(
                f"{where}: ttl_s must be 1 second to a year, not {self.ttl_s}; leave it out to "
                "keep the model loaded"
            )
        if self.memory_bytes is not None and self.memory_bytes < 0:
            raise ConfigError(f"{where}: memory_bytes must be 0 or more, not {self.memory_bytes}")
        if self.context_length is not None and self.context_length < 32:
            raise ConfigError(f"{where}: context_length must be at least 32 tokens")

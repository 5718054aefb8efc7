"""Settings of a folder whose models a node serves: ``[models_folder]`` of a node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mesh.errors import ConfigError
from mesh.settings.model import ENGINE, ModelSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelsFolder:
    """``path``: each model of it is served, also one that comes while the node runs.
    ``specialties``: of all of them; none: a file's name is its specialty. The rest is as in
    ``[[models]]``, for each of them."""

    path: str
    specialties: tuple[str, ...] = ()
    engine: str = ENGINE
    context_length: int | None = None
    slots: int = 4
    threads: int | None = None
    gpu_layers: int = -1
    allow_cpu: bool = False
    ttl_s: float | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def model(self, source: str, id: str, specialties: tuple[str, ...]) -> ModelSettings:  # noqa: A002
        """Of one of its files."""
        return ModelSettings(
            source=source,
            id=id,
            specialties=specialties,
            engine=self.engine,
            context_length=self.context_length,
            slots=self.slots,
            threads=self.threads,
            gpu_layers=self.gpu_layers,
            allow_cpu=self.allow_cpu,
            ttl_s=self.ttl_s,
            options=self.options,
        )

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        if not self.path:
            raise ConfigError(f"{where}: models_folder.path is empty; name a folder of GGUF files")
        self.model(self.path, "model", self.specialties or ("chat",)).check(where)

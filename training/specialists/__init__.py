"""Makes the three toy specialists that tests and benchmarks run on, with nothing to download.

They are Llama-architecture models of about three million weights each, trained from scratch by
`training.specialists.train`. They prove the path from a question to tokens; they are not good
models.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "tests" / "specialists"
CHECKSUMS = "SHA256SUMS"


class CorruptSpecialistError(Exception):
    """A file is missing or is not the one that the repository's checksum names."""


@dataclass(frozen=True)
class Specialist:
    """One of the models; `file` is its name within `FOLDER`."""

    name: str
    specialty: str
    description: str
    context_length: int = 1024

    @property
    def file(self) -> str:
        """The name of the GGUF file."""
        return f"{self.name}.gguf"

    @property
    def path(self) -> Path:
        """Where the GGUF file is."""
        return FOLDER / self.file


def _described(name: str, skill: str) -> Specialist:
    return Specialist(
        name,
        name,
        f"A toy model of about three million weights, trained from scratch by the Squadron "
        f"repository to {skill}. It proves the path and knows nothing else.",
    )


CATALOGUE: tuple[Specialist, ...] = (
    _described("math", "work out short arithmetic problems"),
    _described("code", "write short Python functions"),
    _described("chat", "hold a little small talk and answer a few simple questions"),
)


def shipped(*, verify: bool = False) -> dict[str, Path]:
    """The path of each model of the repository by name.

    With `verify`, raises CorruptSpecialistError unless every file matches its SHA-256.
    """
    if verify:
        expected = checksums()
        for specialist in CATALOGUE:
            if not specialist.path.is_file():
                raise CorruptSpecialistError(f"{specialist.path} is missing")
            if sha256(specialist.path) != expected.get(specialist.file):
                raise CorruptSpecialistError(
                    f"{specialist.path} does not match {CHECKSUMS}; restore it from the repository"
                )
    return {specialist.name: specialist.path for specialist in CATALOGUE}


def checksums(folder: Path = FOLDER) -> dict[str, str]:
    """SHA-256 in hexadecimal by file name, as `sha256sum` wrote or would write them."""
    lines = (folder / CHECKSUMS).read_text(encoding="ascii").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line)
    return {file.lstrip("*"): digest for digest, file in pairs}


def sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path = FOLDER) -> None:
    """Write SHA256SUMS for the models present in folder; `sha256sum -c` checks it."""
    present = sorted(folder / s.file for s in CATALOGUE if (folder / s.file).is_file())
    lines = [f"{sha256(path)}  {path.name}\n" for path in present]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="ascii")

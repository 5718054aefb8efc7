"""The extras of Squadron's package: what of one is not installed here, and the line that says so.

What belongs to an extra is read from the installed package's own metadata, so that
``pyproject.toml`` alone says it.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution, requires

from mesh.errors import ConfigError

PACKAGE = "squadron-mesh"
_REQUIREMENT = re.compile(r"""([\w.-]+)[^;]*;.*\bextra\s*==\s*["']([\w.-]+)["']""")


def missing(extra: str) -> tuple[str, ...]:
    """The packages of ``extra`` that are not installed, in any version. Imports none of them. Empty
    too where Squadron runs from a folder and is not installed: there is nothing to read."""
    try:
        lines = requires(PACKAGE) or ()
    except PackageNotFoundError:
        return ()
    found = (_REQUIREMENT.match(line) for line in lines)
    names = (match[1] for match in found if match and match[2] == extra)
    return tuple(name for name in names if not _installed(name))


def remedy(*extras: str) -> str:
    """What to run to have them."""
    return f"pip install '{PACKAGE}[{','.join(extras)}]'"


def require(*extras: str) -> None:
    """Raises ``ConfigError`` naming those that are not wholly installed."""
    wanted = [extra for extra in extras if missing(extra)]
    if wanted:
        named = " and ".join(f"'{extra}'" for extra in wanted)
        noun = "extra" if len(wanted) == 1 else "extras"
        raise ConfigError(f"this needs the {noun} {named}: {remedy(*wanted)}")


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True

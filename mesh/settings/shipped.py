"""The TOML files that ship: the starter rules, and an example of each process's settings.

They stand in ``configs/``, where people look for them. ``mesh/settings/defaults`` is a link to that
folder, and packing follows it: the files lie beside this one in a checkout and in a wheel.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).with_name("defaults")


def shipped(name: str) -> Path:
    """The file of that name, such as ``rules.toml``. Looks at no disk."""
    return _FOLDER / name

"""NVIDIA architectures, and which CUDA toolkits compile for them. Pure.

Sources: NVIDIA's table "CUDA GPU Compute Capability", and the release notes of the CUDA toolkits
11.0 to 13.0 on what each added and dropped. llama.cpp's CUDA code wants 5.0 or newer.
"""

from __future__ import annotations

from dataclasses import dataclass

Version = tuple[int, int]

OLDEST: Version = (5, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """``capabilities``: that it has; ``since``: the first toolkit that compiles for all of them;
    ``until``: the first that no longer does, None for none yet. ``cards``: known ones of it."""

    name: str
    capabilities: tuple[Version, ...]
    since: Version
    until: Version | None
    cards: str


ARCHITECTURES = (
    Architecture(
        name="Maxwell",
        capabilities=((5, 0), (5, 2), (5, 3)),
        since=(11, 0),
        until=(13, 0),
        cards="GTX 750 Ti, GTX 9x0, Tesla M40",
    ),
    Architecture(
        name="Pascal",
        capabilities=((6, 0), (6, 1), (6, 2)),
        since=(11, 0),
        until=(13, 0),
        cards="GTX 10x0, Tesla P4, P40 (6.1); Tesla P100 (6.0)",
    ),
    Architecture(
        name="Volta",
        capabilities=((7, 0), (7, 2)),
        since=(11, 0),
        until=(13, 0),
        cards="Tesla V100, Titan V",
    ),
    Architecture(
        name="Turing",
        capabilities=((7, 5),),
        since=(11, 0),
        until=None,
        cards="GTX 16x0, RTX 20x0, Tesla T4",
    ),
    Architecture(
        name="Ampere",
        capabilities=((8, 0), (8, 6), (8, 7)),
        since=(11, 4),
        until=None,
        cards="A100 (8.0); RTX 30x0, A10, A40 (8.6); Jetson Orin (8.7)",
    ),
    Architecture(
        name="Ada",
        capabilities=((8, 9),),
        since=(11, 8),
        until=None,
        cards="RTX 40x0, L4, L40",
    ),
    Architecture(
        name="Hopper", capabilities=((9, 0),), since=(11, 8), until=None, cards="H100, H200, GH200"
    ),
    Architecture(
        name="Blackwell",
        capabilities=((10, 0), (12, 0)),
        since=(12, 8),
        until=None,
        cards="B200 (10.0); RTX 50x0, RTX PRO (12.0)",
    ),
    Architecture(
        name="Blackwell",
        capabilities=((10, 3), (12, 1)),
        since=(12, 9),
        until=None,
        cards="B300 (10.3); GB10, DGX Spark (12.1)",
    ),
)


def architecture(capability: Version) -> Architecture | None:
    """None for one that is older than the table, or newer."""
    return next((each for each in ARCHITECTURES if capability in each.capabilities), None)


def compiles(toolkit: Version, capability: Version) -> bool:
    """Whether the toolkit makes code for such a card. One newer than the table: a toolkit that is
    newer than the table, too, may."""
    known = architecture(capability)
    if known is None:
        newest = max(each.since for each in ARCHITECTURES)
        return capability >= OLDEST and toolkit > newest
    return toolkit >= known.since and (known.until is None or toolkit < known.until)


def wanted(capability: Version) -> str:
    """Which toolkits do, in words: ``CUDA 11.0 to 12.x``."""
    known = architecture(capability)
    if known is None:
        return "the newest CUDA toolkit"
    since = shown(known.since)
    if known.until is None:
        return f"CUDA {since} or newer"
    return f"CUDA {since} to {known.until[0] - 1}.x"


def shown(version: Version) -> str:
    """``12.4``."""
    return ".".join(map(str, version))

"""What to build for the cards of a box, or why nothing can be built and what to install. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mesh.errors import ConfigError
from node.engines.llama_cpp.cuda.cards import OLDEST, Version, architecture, compiles, shown, wanted

GB_A_JOB = 2.0  # of memory, for one of nvcc's processes
_MINUTES = 25.0  # of one core, for one architecture
_MORE = 8.0  # for each further one


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """``capability``: None where the driver does not say."""

    name: str
    capability: Version | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolkit:
    """A CUDA toolkit. ``folder``: in which ``bin/nvcc`` is."""

    folder: str
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What was found. ``driver``: the newest CUDA that it runs, None for no driver;
    ``no_driver``: why, in plain words. ``compiler``: whether there is one for C++.
    ``memory_bytes``: available."""

    cards: tuple[Card, ...]
    driver: Version | None
    no_driver: str
    toolkits: tuple[Toolkit, ...]
    compiler: bool
    cores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlan:
    """``minutes``: a guess, before it begins. ``left_out``: cards that it is not for, each with
    why."""

    toolkit: Toolkit
    capabilities: tuple[Version, ...]
    jobs: int
    minutes: float
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``cuda12.8-sm61-sm89``."""
        cards = "-".join(f"sm{major}{minor}" for major, minor in self.capabilities)
        return f"cuda{shown(self.toolkit.version)}-{cards}"

    @property
    def cmake_arguments(self) -> tuple[str, ...]:
        """``-real``: for these very cards and no other, so that nothing is compiled in vain."""
        cards = ";".join(f"{major}{minor}-real" for major, minor in self.capabilities)
        return (
            "-DGGML_CUDA=on",
            f"-DCMAKE_CUDA_ARCHITECTURES={cards}",
            f"-DCMAKE_CUDA_COMPILER={self.toolkit.folder}/bin/nvcc",
        )


def build_plan(box: Box) -> BuildPlan:
    """Raises ``ConfigError`` that says what is missing and what to do."""
    if not box.cards:
        raise ConfigError(f"there is no NVIDIA GPU here to build for: {box.no_driver}")
    known = [card for card in box.cards if card.capability is not None]
    if not known:
        raise ConfigError(
            f"the driver does not say what {_listed(box.cards)} can compute; update the driver"
        )
    usable = [card for card in known if card.capability and card.capability >= OLDEST]
    if not usable:
        raise ConfigError(
            f"llama.cpp's CUDA code wants compute capability {shown(OLDEST)} or newer, and this "
            f"box has {_listed(known)}; its CPU serves"
        )
    if not box.toolkits:
        raise ConfigError(
            f"no CUDA toolkit is here (nvcc): install {_needed(usable)}, as your system's package "
            "or from NVIDIA, and call this again; CUDA_HOME says where one is"
        )
    if not box.compiler:
        raise ConfigError("no C++ compiler is here: install g++ (apt install g++) and try again")
    toolkit = _best(box, usable)
    able = [c for c in usable if c.capability and compiles(toolkit.version, c.capability)]
    if not able:
        raise ConfigError(
            f"CUDA {_versions(box.toolkits)} compiles for none of {_listed(usable)}: install "
            f"{_needed(usable)} beside it"
        )
    left = tuple(f"{card.name}: {_why(card, toolkit)}" for card in box.cards if card not in able)
    capabilities = tuple(sorted({c.capability for c in able if c.capability}))
    jobs = max(1, min(box.cores, int(box.memory_bytes / 1e9 / GB_A_JOB)))
    minutes = (_MINUTES + _MORE * (len(capabilities) - 1)) / jobs
    return BuildPlan(
        toolkit=toolkit, capabilities=capabilities, jobs=jobs, minutes=minutes, left_out=left
    )


def _best(box: Box, cards: Sequence[Card]) -> Toolkit:
    """For the most cards; of those, one that the driver runs; of those, the newest."""

    def worth(toolkit: Toolkit) -> tuple[int, bool, Version]:
        count = sum(compiles(toolkit.version, c.capability) for c in cards if c.capability)
        # A driver runs whatever its major version compiled (CUDA's minor version compatibility).
        runs = box.driver is None or toolkit.version[0] <= box.driver[0]
        return count, runs, toolkit.version

    best = max(box.toolkits, key=worth)
    if box.driver is not None and best.version[0] > box.driver[0]:
        raise ConfigError(
            f"the driver runs CUDA {box.driver[0]}.x and the toolkit here is "
            f"{shown(best.version)}: update the driver, or install CUDA {box.driver[0]}.x"
        )
    return best


def _why(card: Card, toolkit: Toolkit) -> str:
    if card.capability is None:
        return "its driver does not say what it can compute"
    if card.capability < OLDEST:
        return f"compute capability {shown(card.capability)} is too old"
    return f"wants {wanted(card.capability)}, and this is {shown(toolkit.version)}"


def _needed(cards: Sequence[Card]) -> str:
    """Of the oldest and the newest: one toolkit for both, where there is one."""
    found = sorted({card.capability for card in cards if card.capability is not None})
    ends = dict.fromkeys((wanted(found[0]), wanted(found[-1])))
    return " and ".join(ends)


def _versions(toolkits: Sequence[Toolkit]) -> str:
    return ", ".join(shown(each.version) for each in toolkits)


def _listed(cards: Sequence[Card]) -> str:
    return ", ".join(describe(card) for card in cards)


def describe(card: Card) -> str:
    """``GTX 1080 (Pascal, 6.1)``."""
    if card.capability is None:
        return card.name
    known = architecture(card.capability)
    name = f"{known.name}, " if known else ""
    return f"{card.name} ({name}{shown(card.capability)})"

"""What happens in a pull, as values: a terminal, a pipe and a node's log each tell it their way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.models.hub.choice import Offer
from node.models.hub.repository import Repository
from node.models.hub.source import HubSource


@dataclass(frozen=True, slots=True)
class Picked:
    """``offers``: all models of the repository, ``offer`` among them. ``missing``: bytes of it that
    are not here."""

    source: HubSource
    repository: Repository
    offer: Offer
    offers: tuple[Offer, ...]
    missing: int


@dataclass(frozen=True, slots=True)
class Waits:
    """Another process pulls this very file."""

    file: str


@dataclass(frozen=True, slots=True)
class Begins:
    """File ``number`` of ``count``, of which ``had`` bytes of ``size`` are here."""

    file: str
    number: int
    count: int
    size: int
    had: int


@dataclass(frozen=True, slots=True)
class Got:
    """The file is here up to ``at``; less than before where the hub began anew."""

    at: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection was lost; it is dialled again in ``pause_s``."""

    why: str
    pause_s: float


@dataclass(frozen=True, slots=True)
class Whole:
    """The file is here. ``checked``: what it was held against, "" for nothing but its size."""

    file: str
    checked: str


Event = Picked | Waits | Begins | Got | Cut | Whole
Tell = Callable[[Event], None]

"""A dialer for every transport that this version speaks, by the name that node records give it."""

from __future__ import annotations

import random
from collections.abc import Mapping

from mesh.clock import Clock
from mesh.settings.timing import Timing
from mesh.transport.base import Dialer
from mesh.transport.grpc import GrpcDialer
from mesh.transport.zeromq import ZeroMQDialer

Dialers = Mapping[str, Dialer]
"""By ``NodeRecord.transport``. A name that is not in it is a newer version's transport: its node is
not linked."""


def all_dialers(name: str, timing: Timing, clock: Clock, rng: random.Random) -> Dialers:
    """``name``: the dialing process's, for the other ends' logs."""
    return {
        "zeromq": ZeroMQDialer(name, timing, clock, rng),
        "grpc": GrpcDialer(name, timing, clock, rng),
    }

"""Whether a model fits before it is loaded: sums from its header, corrected by what was measured.

``need`` says how much one load takes, ``fit`` what of it fits into what is free, ``Corrections``
remembers what earlier loads really took. All figures are bytes; contexts are tokens a slot.
"""

from node.models.fit.estimate import CPU, Basis, Estimate, Parts, need
from node.models.fit.kv import KV_TYPES
from node.models.fit.measured import Corrections, engine_version, fingerprint, runner_ram_bytes
from node.models.fit.plan import Fit, Outcome, Wants, fit

__all__ = [
    "CPU",
    "Basis",
    "Corrections",
    "Estimate",
    "Fit",
    "KV_TYPES",
    "Outcome",
    "Parts",
    "Wants",
    "engine_version",
    "fingerprint",
    "fit",
    "need",
    "runner_ram_bytes",
]

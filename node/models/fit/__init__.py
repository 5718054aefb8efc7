"""Whether a model fits before it is loaded: its engine's estimate, corrected by what was measured.

``fit`` weighs what a load takes against what is free, ``Corrections`` remembers what earlier loads
really took. All figures are bytes; contexts are tokens a slot.
"""

from node.engines.estimate import CPU, Basis, Estimate, Parts
from node.models.fit.measured import Corrections, fingerprint, runner_ram_bytes
from node.models.fit.plan import Fit, FitGrade, fit

__all__ = [
    "CPU",
    "Basis",
    "Corrections",
    "Estimate",
    "Fit",
    "FitGrade",
    "Parts",
    "fingerprint",
    "fit",
    "runner_ram_bytes",
]

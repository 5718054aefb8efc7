"""How fast each model is here: measured once, through its own slots, when nobody uses the node."""

from node.models.calibration.node import Calibration
from node.models.calibration.speeds import Speeds, Typical, expected_wait_s

__all__ = ["Calibration", "Speeds", "Typical", "expected_wait_s"]

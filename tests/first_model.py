"""The real model of the first minute, for tests that ask it something."""

from __future__ import annotations

import pytest

from mesh.local.first_model import INSTALL, installed

needs_first_model = pytest.mark.skipif(
    not installed(), reason=f"the first model is not installed: `{INSTALL}` (`make test` does)"
)

"""Arithmetic, units and dates: read and answered at once, in the process that asks."""

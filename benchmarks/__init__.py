"""Figures, each with its method and the raw floor of the same run beside it."""

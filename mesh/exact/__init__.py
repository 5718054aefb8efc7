"""Exact answers on the CPU, for what is parsed whole and is sure. ``reading`` is the front door."""

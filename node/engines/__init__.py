"""Engines: what generates tokens from a model. A package an engine; ``base`` is the contract."""

"""Engines: what generates tokens from a model. One file an engine; ``base`` is the contract."""

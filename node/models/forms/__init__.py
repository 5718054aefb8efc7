"""Grammars and JSON schemas, tried before a slot is claimed for them: in a process of their own
that holds a model's vocabulary and no weights, under limits (``trials``, which talks in
``messages``).
"""

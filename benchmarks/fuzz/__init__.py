"""A million inputs that nobody good would send, into each thing that reads what strangers wrote.

A target is a module of this folder: ``SEEDS`` (good inputs, as bytes), ``decode(data)``, which the
product promises to return from or to leave with one of ``EXPECTED``, within a stated time.
"""

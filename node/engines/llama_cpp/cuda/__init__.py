"""A llama.cpp for the GPUs of this box. PyPI's is built for CPUs; one for CUDA is compiled here,
for the cards that are here, tried, and kept beside the one for the CPU, which stays installed.

``cards`` and ``plan`` decide, ``found`` looks, ``make`` compiles, ``trial`` tries, ``kept``
remembers.
"""

"""How well the router decides, on labelled prompts: for ``benchmarks/router_quality.py``."""

"""What tests and benchmarks both stand on: a real Redis, a proxy that breaks, made model files.

Neither of them imports the other; what only one of them needs stays with it.
"""

"""Engine ``simulated``: timing by formula, for benchmarks and tests."""

"""Engine ``tools``: exact answers on the CPU, as a node like any other."""

"""A whole mesh on this box: what runs, its processes, and how they start, restart and stop."""

"""GPU care: what a card can compute, why it is slow, and what its runners are started with."""

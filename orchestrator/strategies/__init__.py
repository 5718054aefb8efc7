"""How one answer is made out of one specialist or several: each strategy is an ``Answer``."""

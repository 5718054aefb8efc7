"""A runner: the child process in which one resident model's engine lives.

``child`` runs there; ``process`` is the agent's handle on it; ``messages`` is what they say.
"""

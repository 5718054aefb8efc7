"""Stateless: routes a prompt, places it on a node, dispatches it, and streams the answer back."""

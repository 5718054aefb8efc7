"""Algebra, calculus, integers, logic and puzzles: read here, solved in a child process."""

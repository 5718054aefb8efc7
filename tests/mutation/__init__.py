"""Tests tried on broken code: `make mutants` breaks one line at a time and asks who notices."""

"""Phrases that the router's training adds to the labelled file, all written for this purpose."""

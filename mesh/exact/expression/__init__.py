"""Mathematical expressions: text to a tree, and what a tree is worth."""

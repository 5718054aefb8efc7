"""What makes the weights that ship. Not part of what is installed: run it from the repository."""

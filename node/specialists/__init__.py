"""The three toy models that ship, as files (README.md); ``training/specialists`` made them."""

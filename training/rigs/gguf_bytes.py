"""The vocabulary that every made model begins with: GPT-2's bytes, and the marks of ChatML."""

from __future__ import annotations

END_OF_TEXT, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = (END_OF_TEXT, START, END)


def byte_characters() -> list[str]:
    """GPT-2's printable stand-in for each byte value (its ``bytes_to_unicode``)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable} | {b: chr(256 + n) for n, b in enumerate(others)}
    return [table[b] for b in range(256)]

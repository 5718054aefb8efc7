"""Sizes as people read them. Pure."""

from __future__ import annotations


def in_words(size: int) -> str:
    """Bytes as ``900 bytes``, ``40 KiB``, ``5.0 MiB``, ``620 MiB``, ``1.5 GiB``."""
    if size < 10_000:
        return f"{size:,} bytes"
    if size < 2**20:
        return f"{size / 2**10:.0f} KiB"
    if size < 1000 * 2**20:
        mib = size / 2**20
        return f"{mib:.1f} MiB" if mib < 9.95 else f"{mib:.0f} MiB"
    return f"{size / 2**30:.1f} GiB"

"""What a self-contained page may not hold, for the report's tests."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_LOADS = {"script", "link", "img", "iframe", "object", "embed", "image", "use", "base", "a"}
_REFERS = {"src", "href", "xlink:href", "srcset", "data", "action", "background"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in _LOADS:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            elsewhere = "://" in (value or "") and not name.startswith("xmlns")
            if name in _REFERS or name.startswith("on") or elsewhere:
                self.found.append(f"{name}={value}")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"comment {data[:40]}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> tuple[list[str], list[str], str]:
    """(references to elsewhere and scripts, tags, text)."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    styles = re.findall(r"url\(|@import|googleapis", page)
    return reader.found + styles, reader.tags, " ".join(reader.text)

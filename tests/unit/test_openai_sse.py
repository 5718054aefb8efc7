"""Server-sent events come out whole, however the bytes were cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import EngineFailed
from node.engines.openai.sse import EventReader, Sent


def read(*parts: bytes) -> list[str]:
    reader = EventReader()
    return [event.data for part in parts for event in reader.read(part)]


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"data: a\n\n", ["a"]),
        (b"data:a\n\ndata:  b\n\n", ["a", " b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data: a\r\rdata: b\r\r", ["a", "b"]),
        (b": a comment\n\ndata: a\n: another\n\n:\n", ["a"]),
        (b"event: x\nid: 7\nretry: 10\ndata: a\n\n", ["a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data\n\n", [""]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"\n\n\n", []),
        (b"database: no\n\n", []),
        (b"<html>\n\n", []),
        ("data: é€😀\n\n".encode(), ["é€😀"]),
        (b"data: \xff\n\n", ["\udcff"]),
        (b"data: a", []),
    ],
)
def test_lines_become_events(data: bytes, events: list[str]) -> None:
    assert read(data) == events


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8")), max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.data(),
)
def test_cuts_between_reads_change_nothing(
    texts: list[str], line_end: str, data: st.DataObject
) -> None:
    lines = "".join(f": hm{line_end}data: {text}{line_end}{line_end}" for text in texts)
    whole = lines.encode()
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=8).map(sorted))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read(*parts) == texts


def test_the_end_gives_what_lacked_its_blank_line() -> None:
    reader = EventReader()
    assert reader.read(b"data: [DONE]") == []
    assert reader.end() == [Sent("[DONE]")]
    assert reader.end() == []


@pytest.mark.parametrize("line_end", [b"", b"\n"])
def test_an_event_without_end_is_refused_at_the_limit(line_end: bytes) -> None:
    reader = EventReader(limit=1000)
    for _ in range(9):
        assert reader.read(b"data: " + 100 * b"x" + line_end) == []
    with pytest.raises(EngineFailed, match="1,000 bytes"):
        reader.read(b"data: " + 100 * b"x" + line_end)


def test_many_events_and_comments_are_no_large_event() -> None:
    reader = EventReader(limit=1000)
    for _ in range(100):
        assert reader.read(b": keep-alive, and some more words\n" + b"data: x\n\n") == [Sent("x")]
    for _ in range(100):
        assert reader.read(b": keep-alive, and some more words\n") == []

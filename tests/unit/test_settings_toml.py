"""TOML of whatever it holds: data, or one error in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.errors import ConfigError
from mesh.settings.load import load_toml
from mesh.settings.toml import MAX_DEPTH, read_toml
from orchestrator.router.rule_file import read

HARD = [
    (b"a = " + b"9" * 5000, "too many digits"),
    (b"a = 0x" + b"f" * 5000, "more than 64 bits"),
    (b"a = -9223372036854775809", "more than 64 bits"),
    (b"a = " + b"[" * 100_000, "nested too deeply"),
    (b"a = " + b"[" * 40 + b"]" * 40, f"nested more than {MAX_DEPTH} deep"),
    (b"[" + b".".join([b"a"] * 40) + b"]", f"nested more than {MAX_DEPTH} deep"),
    (b"a = \xff", "not UTF-8 text (byte 4)"),
    (b"a = 1979-05-27", "a date or time"),
    (b"a = 07:32:00", "a date or time"),
    (b"a = [07:32:00]", "a date or time"),
    (b"\x00", "not TOML"),
    (b"a = '\x1b[31m", "not TOML"),
    (b"a" * 101, "at most 100 bytes"),
]


@pytest.mark.parametrize(("content", "said"), HARD)
def test_what_cannot_be_read_is_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    most = 100 if said == "at most 100 bytes" else 1_000_000
    with pytest.raises(ConfigError) as refused:
        read_toml(content, most)
    assert said in refused.value.message
    assert refused.value.message.isprintable()
    if most == 100:
        return
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load_toml(path)
    assert refused.value.message.startswith(f"{path}: ")
    problems = read(content)[1]  # the rules' file is the same language
    assert any(said in problem for problem in problems)


@pytest.mark.parametrize("name", ["nowhere.toml", "a\0b", ".", "x" * 300])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_toml(tmp_path / name)


def test_what_is_good_is_data() -> None:
    data = read_toml(b"a = 9223372036854775807\n[b]\nc = [1.5, true, 'x']", 100)
    assert data == {"a": 2**63 - 1, "b": {"c": [1.5, True, "x"]}}

"""An orchestrator keeps its id over restarts, and says what is wrong when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.errors import ConfigError
from orchestrator.identity import identify


def test_the_id_stays_and_the_instance_is_new(tmp_path: Path) -> None:
    first, again = identify(tmp_path, "one"), identify(tmp_path, "one")
    assert first.id == again.id
    assert first.instance != again.instance
    assert identify(tmp_path, "two").id != first.id
    assert (tmp_path / "orchestrators" / "one" / "id").read_text().strip() == first.id


@pytest.mark.parametrize("content", [b"", b"orch-xyz", b"\xff\xfe"])
def test_a_damaged_file_is_named_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    identify(tmp_path, "one")
    path = tmp_path / "orchestrators" / "one" / "id"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"is damaged.*delete it"):
        identify(tmp_path, "one")


def test_bad_names_and_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not usable"):
        identify(tmp_path, "../else")
    (tmp_path / "orchestrators").write_text("a file where a folder should be")
    with pytest.raises(ConfigError, match="give another state_dir"):
        identify(tmp_path, "one")

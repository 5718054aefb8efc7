"""Builds that are kept: which are whole, which was chosen, and what is said when it is gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mesh.errors import ConfigError
from node.engines.llama_cpp.cuda import kept
from node.engines.llama_cpp.cuda.kept import Built


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path))
    return tmp_path


def keep(name: str, says: str | None = None) -> Path:
    place = kept.place(name)
    place.mkdir(parents=True)
    kept.keep(place, Built(name=says or name, version="1.0"))
    return place


def test_the_installed_one_may_be_chosen_when_it_is_already() -> None:
    kept.folder().mkdir(parents=True)
    kept.use(None)
    kept.use(None)
    assert kept.used() is None


def test_a_build_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(ConfigError, match=r"no build is called 'x'; there is only cpu$"):
        kept.use("x")
    keep("one")
    keep("two")
    with pytest.raises(ConfigError, match=r"no build is called 'x'; there are cpu, one, two$"):
        kept.use("x")


def test_a_build_that_was_moved_under_another_name_is_none() -> None:
    keep("one", says="two")
    assert kept.builds() == ()


def test_another_user_of_the_box_may_read_what_is_chosen() -> None:
    before = os.umask(0o022)
    try:
        place = keep("one")
        kept.use("one")
    finally:
        os.umask(before)
    for path in (place / "build.json", kept.folder() / "used"):
        assert path.stat().st_mode & 0o777 == 0o644
    assert (kept.folder() / "used").read_text() == "one\n"


def test_a_choice_that_is_gone_is_named_as_far_as_it_has_room() -> None:
    kept.folder().mkdir(parents=True)
    (kept.folder() / "used").write_text("x" * 90)
    place, why = kept.in_use()
    assert place is None
    assert why.startswith(f"the build {'x' * 79}… that was chosen is gone or damaged: ")

"""What the supervisor says during the tour is kept for a place between acts, and never lost."""

from __future__ import annotations

import pytest

from mesh.cli.tour.notes import Notes


def test_lines_are_said_at_once_but_for_when_the_stage_is_in_use() -> None:
    said: list[str] = []
    notes = Notes(said.append)

    notes("up")
    with notes.kept():
        notes("robin died")
        assert said == ["up"]
        assert notes.taken() == ["robin died"]
        notes("robin died again")
        assert said == ["up"]
    notes("bye")

    assert said == ["up", "robin died again", "bye"]


def test_a_tour_that_is_broken_off_still_says_what_was_kept() -> None:
    said: list[str] = []
    notes = Notes(said.append)

    def tour() -> None:
        with notes.kept():
            notes("stopping")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tour()

    assert said == ["stopping"]

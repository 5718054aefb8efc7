"""A transfer that is cut, refused or of another size: what is told of it, and why it went on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.models.hub import transfer
from node.models.hub.events import Cut, Got
from node.models.hub.place import http
from tests.hub_rig import REPO, HubRig, running
from tests.unit.test_hub_pull import CHUNK, Q4, SIZE, Pulls, noise


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubRig]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with running(HubRig(files={Q4: noise(SIZE, 1)})) as started:
        yield started


@pytest.fixture
def pulls(rig: HubRig, tmp_path: Path) -> Pulls:
    return Pulls(rig, tmp_path / "cache")


def test_what_comes_is_told_and_why_it_was_cut(rig: HubRig, pulls: Pulls) -> None:
    rig.faults.cuts = [CHUNK]
    rig.faults.refusals = [503]
    pulls(f"hf:{REPO}/{Q4}")
    got = [each.at for each in pulls.events if isinstance(each, Got)]
    assert got == sorted(got)
    assert (got[0], got[-1]) == (0, SIZE)
    whys = [each.why for each in pulls.events if isinstance(each, Cut)]
    assert whys[0] == "the hub answered 503"
    assert "hub" not in whys[1]
    assert len(whys[1]) > 10, "in the words of the library"


@pytest.mark.parametrize(
    ("error", "why"), [("", "ReadError"), (" one\ntwo", "one"), ("  ", "ReadError")]
)
def test_a_loss_without_words_is_told_by_its_kind(
    error: str, why: str, rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, losses = transfer._stream, [error]

    def lost(*arguments: Any) -> Iterator[int]:
        if losses:
            raise http().ReadError(losses.pop())
        yield from stream(*arguments)

    monkeypatch.setattr(transfer, "_stream", lost)
    pulls(f"hf:{REPO}/{Q4}")
    assert [each.why for each in pulls.events if isinstance(each, Cut)] == [why]


def test_another_size_is_told_with_both(rig: HubRig, pulls: Pulls) -> None:
    rig.faults.sends = noise(3 * 2**20, 1)
    assert f"{Q4} of {REPO} has 1 MiB and sends 3 MiB" in pulls.refused(f"hf:{REPO}/{Q4}")

"""A model of the hub is looked at by its headers alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.errors import ModelFileError
from node.models.catalogue import inspect
from node.models.hub import heads as module
from node.models.hub.heads import heads
from node.models.hub.source import read
from tests.gguf import write_random
from tests.hostile.test_file import NAME, parts
from tests.hub_rig import REPO, HubRig, running

Q4 = "tiny-Q4_K_M.gguf"
PADDING = 8 * 2**20  # of weights, after those that the header names


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[HubRig]:
    data = write_random(tmp_path / "made.gguf").read_bytes()
    files = {Q4: data + bytes(PADDING), "bad-Q8_0.gguf": b"no GGUF at all"}
    files |= {path.name: path.read_bytes() for path in parts(tmp_path / "parts")}
    with running(HubRig(files=files)) as started:
        yield started


@pytest.mark.parametrize("first_look", [2**10, 2**20])
def test_a_header_says_the_same_without_its_weights(
    rig: HubRig, tmp_path: Path, first_look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_LOOK", first_look)
    whole = tmp_path / Q4
    whole.write_bytes(rig.files[Q4])
    hub = rig.hub(tmp_path / "cache")
    with heads(hub, read(f"hf:{REPO}:Q4_K_M")) as (path, offer):
        assert inspect(path) == inspect(whole)
        assert path.stat().st_blocks * 512 < PADDING
        assert offer.size == len(rig.files[Q4])
    assert not path.exists()
    assert not hub.cache.exists()


def test_all_parts_are_looked_at(rig: HubRig, tmp_path: Path) -> None:
    source = read(f"hf:{REPO}/{NAME.format(1, 3)}")
    with heads(rig.hub(tmp_path / "cache"), source) as (path, _):
        assert inspect(path).parameters == 3 * 64


def test_what_is_no_model_is_named_as_the_hub_names_it(rig: HubRig, tmp_path: Path) -> None:
    with (
        pytest.raises(ModelFileError, match=f"^hf:{REPO}/bad-Q8_0.gguf is not a GGUF file"),
        heads(rig.hub(tmp_path / "cache"), read(f"hf:{REPO}:Q8_0")),
    ):
        pass


def test_a_look_that_is_cut_is_one_line(rig: HubRig, tmp_path: Path) -> None:
    rig.faults.cuts = [100]
    with (
        pytest.raises(ModelFileError, match="cannot be reached") as caught,
        heads(rig.hub(tmp_path / "cache"), read(f"hf:{REPO}:Q4_K_M")),
    ):
        pass
    assert "\n" not in caught.value.message

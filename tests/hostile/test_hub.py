"""What a hub may say, whoever answers there: each is one line, and nothing wrong is kept."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from mesh.errors import ModelFileError
from tests.hub_rig import REPO, HubRig
from tests.unit.test_hub_pull import Q4, SIZE, Pulls, noise, pulls, rig

__all__ = ["pulls", "rig"]

TOLD = HubRig.told


@pytest.mark.parametrize(
    "changed",
    [
        {"sha": 5},
        {"sha": None},
        {"sha": ["a"]},
        {"sha": "f" * 100_000},
        {"siblings": [{"rfilename": None}]},
        {"siblings": [{"rfilename": 7, "size": 1}]},
        {"siblings": 7},
        {"siblings": {"a": 1}},
        {
            "siblings": [
                {
                    "rfilename": "a.gguf",
                    "size": "x",
                    "lfs": {"sha256": 7, "size": 1, "pointerSize": 1},
                }
            ]
        },
        {"siblings": [{"rfilename": "a.gguf", "size": -5}]},
        {"siblings": [{"rfilename": "x/" * 200 + "a.gguf", "size": 5}]},
        {"siblings": [{"rfilename": "/etc/a.gguf", "size": 5}]},
        {"siblings": [{"rfilename": "C:\\a.gguf", "size": 5}]},
        {"siblings": [{"rfilename": "a\nb.gguf", "size": 5}]},
        {"siblings": [{"rfilename": "a\ud800b.gguf", "size": 5}]},
        {"cardData": {"license": ["x"]}},
        {"cardData": {"license": "\x1b[31m"}},
        {"cardData": 7},
        {"cardData": [1]},
        {"gated": {"a": 1}},
    ],
    ids=lambda changed: repr(changed)[:60],
)
def test_whatever_it_tells_of_a_repository_is_taken_or_one_line(
    changed: dict[str, Any], rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HubRig, "told", lambda self: TOLD(self) | changed)
    said = ""
    try:
        pulls(f"hf:{REPO}:Q4_K_M")
    except ModelFileError as error:
        said = error.message
    assert len(said) < 1_000
    assert said.isprintable()
    assert bool(said) or not {"sha", "siblings"} & set(changed)
    assert (pulls.blobs() == []) is bool(said)


def test_a_page_that_is_nothing_but_brackets_is_no_hub(
    rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.hub_rig.json.dumps", lambda told: "[" * 200_000)
    assert "no hub" in pulls.refused(f"hf:{REPO}")


@pytest.mark.parametrize("etag", ["..", ".", "a/b", "...", ".x", "", "x" * 200, "a.incomplete"])
def test_an_etag_that_is_no_name_of_a_file_is_refused(
    etag: str, rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HubRig, "etag", lambda self, name: etag)
    message = pulls.refused(f"hf:{REPO}:Q4_K_M")
    assert message.isprintable()
    assert pulls.blobs() == []


def test_a_blob_that_was_cut_is_loaded_anew(rig: HubRig, pulls: Pulls) -> None:
    path = pulls(f"hf:{REPO}/{Q4}").path
    path.resolve().write_bytes(rig.files[Q4][:100])
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]


def test_a_blob_that_was_cut_on_a_disk_without_links_is_loaded_anew(
    rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    pulls(f"hf:{REPO}/{Q4}").path.write_bytes(rig.files[Q4][:100])
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]


@pytest.mark.parametrize("header", ["Content-Range", "Content-Length", "X-Linked-Size"])
def test_a_size_that_nobody_can_count_is_one_line_or_not_heeded(
    header: str, rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = BaseHTTPRequestHandler.send_header

    def send_header(self: BaseHTTPRequestHandler, name: str, said: str) -> None:
        plain(
            self,
            name,
            said.rpartition("/")[0] + "/" * ("/" in said) + "9" * 5_000 if name == header else said,
        )

    monkeypatch.setattr(BaseHTTPRequestHandler, "send_header", send_header)
    if header == "X-Linked-Size":  # the repository has told it already
        assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]
    else:
        assert "hub" in pulls.refused(f"hf:{REPO}/{Q4}")
        assert pulls.blobs() == []


@pytest.mark.parametrize("links", [True, False])
def test_what_a_hub_tells_otherwise_behind_the_pull_is_not_kept(
    links: bool, rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is named once it is here, by the hub's library, which asks once more."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", not links)
    plain = HubRig.etag
    asked = 0

    def etag(self: HubRig, name: str) -> str:
        nonlocal asked
        asked += 1
        if asked <= 2:  # once told, once given
            return plain(self, name)
        rig.faults.sends = noise(SIZE, 66)
        return "ab" * 32

    monkeypatch.setattr(HubRig, "etag", etag)
    assert "another ETag" in pulls.refused(f"hf:{REPO}/{Q4}")
    assert pulls.blobs() == [rig.sha256(Q4)]
    monkeypatch.setattr(HubRig, "etag", plain)
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]

"""What of the hub's models lies in its cache is found, counted and removed, without a network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from node.models.hub import cached
from node.models.hub.place import Hub
from node.models.hub.source import read

OLD, NEW = "a" * 40, "b" * 40
REPO = "some/tiny-GGUF"


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub("http://127.0.0.1:9", tmp_path / "hub")


def put(hub: Hub, commit: str, name: str, data: bytes, *, repo: str = REPO) -> Path:
    """A file of a snapshot, as the hub's library has it: a link to its bytes."""
    blob = hub.blob(repo, f"{len(data)}-{data[:1].hex()}")
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    path = hub.folder(repo) / "snapshots" / commit / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(blob, path.parent))
    return path


def branch(hub: Hub, commit: str, *, repo: str = REPO) -> None:
    ref = hub.folder(repo) / "refs" / "main"
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(f"{commit}\n")


def aged(hub: Hub, *commits: str) -> None:
    """The first was changed last."""
    for age, commit in enumerate(commits):
        os.utime(hub.folder(REPO) / "snapshots" / commit, (1_000_000 - age, 1_000_000 - age))


def test_an_empty_place_has_nothing(hub: Hub) -> None:
    assert cached.find(hub, read(f"hf:{REPO}")) is None
    assert list(cached.every(hub)) == []
    assert cached.partials(hub) == []


def test_the_branchs_commit_comes_first_then_the_latest(hub: Hub) -> None:
    paths = {each: put(hub, each, "m-Q8_0.gguf", each.encode()) for each in (OLD, NEW)}
    aged(hub, NEW, OLD)
    source = read(f"hf:{REPO}:Q8_0")
    assert cached.find(hub, source) == paths[NEW], "no branch is known: the latest"
    aged(hub, OLD, NEW)
    assert cached.find(hub, source) == paths[OLD]
    branch(hub, NEW)
    assert cached.find(hub, source) == paths[NEW]
    (hub.folder(REPO) / "refs" / "main").write_bytes(b"\xff")
    assert cached.find(hub, source) == paths[OLD]


def test_a_commit_without_the_file_is_passed_over(hub: Hub) -> None:
    put(hub, NEW, "m-Q4_0.gguf", b"4")
    found = put(hub, OLD, "d/m-Q8_0.gguf", b"8")
    (hub.folder(REPO) / "snapshots" / "stray").write_text("no folder")
    branch(hub, NEW)
    assert cached.find(hub, read(f"hf:{REPO}:Q8_0")) == found
    assert cached.find(hub, read(f"hf:{REPO}/d/m-Q8_0.gguf")) == found


def test_each_model_is_listed_once_in_the_newest_commit_that_has_it(hub: Hub) -> None:
    for commit in (OLD, NEW):
        put(hub, commit, "m-Q8_0.gguf", b"same")
    put(hub, OLD, "m-Q4_0.gguf", b"old")
    put(hub, OLD, "big-Q6_K-00001-of-00002.gguf", b"1")
    put(hub, OLD, "big-Q6_K-00002-of-00002.gguf", b"22")
    branch(hub, NEW)
    found = list(cached.every(hub))
    assert [(each.commit, each.offer.name, each.offer.size) for each in found] == [
        (NEW, "m-Q8_0.gguf", 4),
        (OLD, "big-Q6_K-00001-of-00002.gguf", 3),
        (OLD, "m-Q4_0.gguf", 3),
    ]
    assert {each.repo for each in found} == {REPO}
    assert str(found[0].source) == f"hf:{REPO}/m-Q8_0.gguf"
    assert found[1].paths == tuple(
        hub.folder(REPO) / "snapshots" / OLD / f"big-Q6_K-0000{n}-of-00002.gguf" for n in (1, 2)
    )
    assert found[1].blobs == tuple(path.resolve() for path in found[1].paths)


def test_only_folders_of_models_are_repositories(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("models--a--b", "models--a--b--c", "models--a", "models--a--", "datasets--a--b"):
        (hub.cache / name).mkdir(parents=True)
    (hub.cache / "models--x--y").write_text("no folder")
    assert list(cached._repositories(hub)) == ["a/b", "a/b--c"]
    monkeypatch.setattr(cached, "MOST_REPOSITORIES", 4)
    assert list(cached._repositories(hub)) == ["a/b"], "of four looked at, three are none"


def test_a_link_whose_bytes_are_gone_is_no_file(hub: Hub) -> None:
    path = put(hub, NEW, "m-Q8_0.gguf", b"8")
    path.resolve().unlink()
    assert cached.find(hub, read(f"hf:{REPO}")) is None


def test_of_a_snapshot_only_so_many_files_are_looked_at(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        put(hub, NEW, f"m-Q{number}_0.gguf", bytes([number]))
    monkeypatch.setattr(cached, "MOST_FILES", 3)
    snapshot = hub.folder(REPO) / "snapshots" / NEW
    assert len(cached._files(snapshot)) == 3
    monkeypatch.setattr(cached, "MOST_FILES", 4)
    assert {(each.name, each.size) for each in cached._files(snapshot)} == {
        (f"m-Q{number}_0.gguf", 1) for number in range(4)
    }


def listed(hub: Hub) -> dict[str, cached.Cached]:
    return {each.offer.quantisation: each for each in cached.every(hub)}


def test_a_removed_model_goes_from_every_commit_and_the_rest_stays(hub: Hub) -> None:
    kept = put(hub, OLD, "m-Q4_0.gguf", b"4444")
    gone = [put(hub, commit, "d/m-Q8_0.gguf", b"88888888") for commit in (OLD, NEW)]
    blob = gone[0].resolve()
    branch(hub, NEW)
    assert cached.remove(hub, listed(hub)["Q8_0"]) == 8
    assert not blob.exists()
    assert not any(os.path.lexists(path) for path in gone)
    assert os.listdir(kept.parent) == ["m-Q4_0.gguf"], "no empty folder is left"
    assert os.listdir(hub.folder(REPO) / "snapshots") == [OLD]
    assert list(listed(hub)) == ["Q4_0"]
    assert (hub.folder(REPO) / "refs" / "main").exists()


def test_with_its_last_model_a_repository_is_forgotten(hub: Hub) -> None:
    put(hub, NEW, "m-Q8_0.gguf", b"8")
    branch(hub, NEW)
    assert cached.remove(hub, listed(hub)["Q8_0"]) == 1
    assert os.listdir(hub.cache) == []


def test_half_a_file_of_a_forgotten_repository_stays(hub: Hub) -> None:
    put(hub, NEW, "m-Q8_0.gguf", b"8")
    branch(hub, NEW)
    half = hub.folder(REPO) / "blobs" / "etag.incomplete"
    half.write_bytes(b"half")
    (hub.folder(REPO) / "blobs" / "whole").write_bytes(b"other")
    cached.remove(hub, listed(hub)["Q8_0"])
    assert os.listdir(hub.folder(REPO)) == ["blobs"]
    assert cached.partials(hub) == [(half, 4)]


def test_a_file_that_went_already_frees_nothing_and_is_no_error(hub: Hub) -> None:
    path = put(hub, NEW, "m-Q8_0.gguf", b"8")
    model = listed(hub)["Q8_0"]
    path.resolve().unlink()
    assert cached.remove(hub, model) == 0


def test_half_a_file_is_removed_under_its_lock(hub: Hub) -> None:
    repo = "a/b--c"
    half = hub.blob(repo, "etag").with_name("etag.incomplete")
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    lock = hub.lock(repo, "etag")
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert cached.remove_partial(hub, half) == 0, "somebody fills it"
    assert half.exists()
    shutil.rmtree(lock.parent.parent)
    assert cached.remove_partial(hub, half) == 4
    assert not half.exists()
    assert lock.parent.is_dir(), "where the hub's library looks for it"
    assert cached.remove_partial(hub, half) == 0, "it is gone"

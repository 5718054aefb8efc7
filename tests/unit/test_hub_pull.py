"""A model is pulled from a stand-in of the hub: whole, checked, and gone on with."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mesh.errors import ModelFileError
from node.models.hub import cached
from node.models.hub.events import Begins, Cut, Event, Got, Picked, Waits, Whole
from node.models.hub.pull import SPARE_BYTES, Pulled, pull
from node.models.hub.source import read
from node.models.hub.told import Lines, Share
from node.models.hub.transfer import TRIES
from tests.hub_rig import COMMIT, REPO, HubRig, running

Q4, Q8 = "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"
PARTS = [f"big-Q6_K-{n:05d}-of-00003.gguf" for n in (1, 2, 3)]
CHUNK = 256 * 1024
SIZE = 5 * CHUNK + 17


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubRig]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    files = {Q4: noise(SIZE, 1), Q8: noise(SIZE, 2), "README.md": b"# tiny"}
    files |= {name: noise(CHUNK + n, n) for n, name in enumerate(PARTS)}
    with running(HubRig(files=files, small={"README.md"})) as started:
        yield started


class Pulls:
    """Pulls into a cache of its own; ``events``: what was told, ``pauses``: what was slept."""

    def __init__(self, rig: HubRig, cache: Path) -> None:
        self.hub = rig.hub(cache)
        self.events: list[Event] = []
        self.pauses: list[float] = []

    def __call__(self, source: str) -> Pulled:
        return pull(self.hub, read(source), self.events.append, sleep=self.pauses.append)

    def refused(self, source: str) -> str:
        with pytest.raises(ModelFileError) as caught:
            self(source)
        assert "\n" not in caught.value.message
        return caught.value.message

    def blobs(self) -> list[str]:
        return sorted(path.name for path in self.hub.folder(REPO).glob("blobs/*"))


@pytest.fixture
def pulls(rig: HubRig, tmp_path: Path) -> Pulls:
    return Pulls(rig, tmp_path / "cache")


def half_of(rig: HubRig, pulls: Pulls, name: str, size: int, data: bytes | None = None) -> Path:
    blob = pulls.hub.blob(REPO, rig.etag(name))
    blob.parent.mkdir(parents=True)
    partial = blob.with_name(blob.name + ".incomplete")
    partial.write_bytes((rig.files[name] if data is None else data)[:size])
    return partial


def test_a_pulled_model_lies_where_the_hubs_own_library_finds_it(rig: HubRig, pulls: Pulls) -> None:
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    path = pulls(f"hf:{REPO}/{Q4}").path
    assert path.read_bytes() == rig.files[Q4]
    assert path.parent.name == COMMIT
    assert path.resolve().name == rig.sha256(Q4)
    assert try_to_load_from_cache(REPO, Q4, cache_dir=pulls.hub.cache) == str(path)
    assert not scan_cache_dir(pulls.hub.cache).warnings
    assert Whole(Q4, "SHA-256") in pulls.events


def test_what_is_picked_without_a_word_is_told_with_what_else_there_is(pulls: Pulls) -> None:
    assert pulls(f"hf:{REPO}").path.name == Q4
    picked = next(each for each in pulls.events if isinstance(each, Picked))
    assert (picked.offer.quantisation, picked.missing) == ("Q4_K_M", SIZE)
    assert {each.quantisation for each in picked.offers} == {"Q4_K_M", "Q8_0", "Q6_K"}
    assert picked.repository.licence == "apache-2.0"


def test_a_quantisation_brings_all_parts_of_its_model(rig: HubRig, pulls: Pulls) -> None:
    path = pulls(f"hf:{REPO}:q6_k").path
    assert path.name == PARTS[0]
    assert [path.with_name(name).read_bytes() for name in PARTS] == [rig.files[n] for n in PARTS]
    begun = [each for each in pulls.events if isinstance(each, Begins)]
    assert [(each.number, each.count) for each in begun] == [(1, 3), (2, 3), (3, 3)]


def test_what_is_here_is_not_loaded_again_and_a_new_commit_keeps_what_did_not_change(
    rig: HubRig, pulls: Pulls
) -> None:
    pulls(f"hf:{REPO}/{Q4}")
    loads = len(rig.ranges())
    assert pulls(f"hf:{REPO}:Q4_K_M").new_bytes == 0
    rig.commit = "f" * 40
    assert pulls(f"hf:{REPO}/{Q4}").path.parent.name == "f" * 40
    assert len(rig.ranges()) == loads


@pytest.mark.parametrize("had", [1, CHUNK, SIZE - 1, SIZE])
def test_half_a_download_from_before_is_gone_on_with(had: int, rig: HubRig, pulls: Pulls) -> None:
    half_of(rig, pulls, Q4, had)
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]
    assert rig.ranges() == ([f"bytes={had}-"] if had < SIZE else [])
    assert pulls.blobs() == [rig.sha256(Q4)]


def test_a_partial_file_that_is_too_long_is_begun_anew(rig: HubRig, pulls: Pulls) -> None:
    half_of(rig, pulls, Q4, SIZE + 9, bytes(SIZE + 9))
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]


def test_a_server_that_heeds_no_range_begins_anew_and_nothing_is_doubled(
    rig: HubRig, pulls: Pulls
) -> None:
    half_of(rig, pulls, Q4, CHUNK)
    rig.faults.whole = True
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]


def test_a_cut_is_gone_on_with_from_where_it_was(rig: HubRig, pulls: Pulls) -> None:
    rig.faults.cuts = [CHUNK, 2 * CHUNK]
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]
    assert rig.ranges() == ["bytes=0-", f"bytes={CHUNK}-", f"bytes={3 * CHUNK}-"]
    assert len([each for each in pulls.events if isinstance(each, Cut)]) == 2


def test_a_slow_line_may_be_cut_as_often_as_it_likes(rig: HubRig, pulls: Pulls) -> None:
    rig.faults.cuts = [CHUNK // 2] * (TRIES + 3)
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]
    assert set(pulls.pauses) == {1.0}


def test_another_range_than_was_asked_for_is_refused(rig: HubRig, pulls: Pulls) -> None:
    rig.faults.shift = 1
    assert "another part of" in pulls.refused(f"hf:{REPO}/{Q4}")


def test_an_end_without_a_length_is_not_taken_for_the_end(rig: HubRig, pulls: Pulls) -> None:
    rig.faults.cuts, rig.faults.chunked = [CHUNK], True
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]


def test_cut_again_and_again_it_is_given_up_and_what_came_is_kept(
    rig: HubRig, pulls: Pulls
) -> None:
    rig.faults.cuts = [CHUNK] + [0] * TRIES
    assert "goes on from there" in pulls.refused(f"hf:{REPO}/{Q4}")
    assert pulls.pauses == [1.0, 2.0, 4.0, 8.0, 8.0][: TRIES - 1]
    assert pulls.hub.folder(REPO).glob("blobs/*.incomplete")
    rig.faults.cuts = []
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]
    assert rig.ranges()[-1] == f"bytes={CHUNK}-"


def test_refusals_that_pass_are_waited_for(rig: HubRig, pulls: Pulls) -> None:
    rig.faults.refusals = [503, 429]
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]
    rig.faults.refusals = [403]
    assert "HF_TOKEN" in pulls.refused(f"hf:{REPO}/{Q8}")
    rig.faults.refusals = [418]
    assert pulls.refused(f"hf:{REPO}/{Q8}").startswith(f"cannot download {Q8} of {REPO}: ")


def test_wrong_bytes_are_told_deleted_and_not_gone_on_with(rig: HubRig, pulls: Pulls) -> None:
    rig.faults.sends = noise(SIZE, 99)
    assert "came damaged (SHA-256" in pulls.refused(f"hf:{REPO}/{Q4}")
    assert pulls.blobs() == []
    assert cached.find(pulls.hub, read(f"hf:{REPO}/{Q4}")) is None
    rig.faults.sends = None
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]


def test_half_a_file_of_other_bytes_is_found_out(rig: HubRig, pulls: Pulls) -> None:
    half_of(rig, pulls, Q4, CHUNK, noise(CHUNK, 99))
    assert "came damaged" in pulls.refused(f"hf:{REPO}/{Q4}")
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("sent", [SIZE - 100, SIZE + 100])
def test_another_size_than_was_told_is_refused(
    sent: int, chunked: bool, rig: HubRig, pulls: Pulls
) -> None:
    rig.faults.sends, rig.faults.chunked = noise(sent, 1), chunked
    rig.faults.whole = chunked
    assert ("and sends" if sent > SIZE or not chunked else "goes on") in pulls.refused(
        f"hf:{REPO}/{Q4}"
    )
    assert cached.find(pulls.hub, read(f"hf:{REPO}/{Q4}")) is None


def test_a_disk_without_links_has_the_file_itself(
    rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_SYMLINKS", True)
    path = pulls(f"hf:{REPO}/{Q4}").path
    assert path.is_file()
    assert not path.is_symlink()
    assert pulls(f"hf:{REPO}/{Q4}").new_bytes == 0
    assert rig.ranges() == ["bytes=0-"]
    (model,) = cached.every(pulls.hub)
    assert cached.remove(pulls.hub, model) == SIZE
    assert not pulls.hub.folder(REPO).exists()


def test_a_cache_that_cannot_be_written_serves_what_is_in_it(rig: HubRig, pulls: Pulls) -> None:
    path = pulls(f"hf:{REPO}/{Q4}").path
    ref = pulls.hub.folder(REPO) / "refs" / "main"
    ref.unlink()
    ref.mkdir()  # what cannot be written, also by root
    assert pulls(f"hf:{REPO}/{Q4}").path == path
    assert "cannot use the hub's cache" in pulls.refused(f"hf:{REPO}/{Q8}")


def test_a_small_file_is_held_against_gits_hash(rig: HubRig, pulls: Pulls) -> None:
    rig.small.add(Q4)
    assert pulls(f"hf:{REPO}/{Q4}").path.read_bytes() == rig.files[Q4]
    assert Whole(Q4, "git's SHA-1") in pulls.events
    rig.small.add(Q8)
    rig.faults.sends = noise(SIZE, 99)
    assert "came damaged (git's SHA-1" in pulls.refused(f"hf:{REPO}/{Q8}")


def test_gated_is_told_with_where_to_accept_and_the_token_stays_at_the_hub(
    rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.gated = "hf_secret"
    told = pulls.refused(f"hf:{REPO}/{Q4}")
    assert f"accept its licence at {rig.endpoint}/{REPO}" in told
    assert "HF_TOKEN" in told
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert "is gated" in pulls.refused(f"hf:{REPO}/{Q4}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    pulls(f"hf:{REPO}/{Q4}")
    sent = [headers for _, path, headers in rig.asked if path.startswith("/blob/")]
    assert sent
    assert not any("authorization" in headers for headers in sent)


def test_no_room_is_told_before_anything_is_loaded(
    rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(path: Path) -> SimpleNamespace:
        return SimpleNamespace(free=SIZE + SPARE_BYTES - 1)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    told = pulls.refused(f"hf:{REPO}/{Q4}")
    assert "are to be loaded and the disk of" in told
    assert rig.ranges() == []
    half_of(rig, pulls, Q4, 1)  # what is here needs no room
    pulls(f"hf:{REPO}/{Q4}")


def test_another_process_that_pulls_it_is_waited_for(rig: HubRig, pulls: Pulls) -> None:
    from filelock import FileLock

    lock = pulls.hub.lock(REPO, rig.etag(Q4))
    lock.parent.mkdir(parents=True)
    held = FileLock(lock)
    held.acquire()

    def tell(event: Event) -> None:
        pulls.events.append(event)
        if isinstance(event, Waits):
            blob = pulls.hub.blob(REPO, rig.etag(Q4))
            blob.parent.mkdir(parents=True)
            blob.write_bytes(rig.files[Q4])
            held.release()

    path = pull(pulls.hub, read(f"hf:{REPO}/{Q4}"), tell).path
    assert path.read_bytes() == rig.files[Q4]
    assert rig.ranges() == []
    assert Waits(Q4) in pulls.events


def test_what_is_misspelt_is_answered_with_what_is_near(rig: HubRig, pulls: Pulls) -> None:
    for misspelt in ("someone/tiny-GUFF", "somebody/tiny-GGUF"):
        assert f"near it: {REPO}" in pulls.refused(f"hf:{misspelt}")
    assert "near it" not in pulls.refused("hf:nobody/nothing")
    assert f"near it: {Q4}" in pulls.refused(f"hf:{REPO}/tiny-Q4_K_N.gguf")
    assert "it has Q4_K_M, Q6_K, Q8_0" in pulls.refused(f"hf:{REPO}:Q5_K_M")
    assert "is no GGUF file" in pulls.refused(f"hf:{REPO}/README.md")


def test_no_hub_is_one_sentence_and_what_is_here_is_still_found(rig: HubRig, pulls: Pulls) -> None:
    path = pulls(f"hf:{REPO}").path
    nobody = Pulls(HubRig(files={}, endpoint="http://127.0.0.1:9"), pulls.hub.cache)
    assert "cannot be reached" in nobody.refused(f"hf:{REPO}")
    for source in (f"hf:{REPO}", f"hf:{REPO}:Q4_K_M", f"hf:{REPO}/{Q4}"):
        assert cached.find(nobody.hub, read(source)) == path
    assert cached.find(nobody.hub, read(f"hf:{REPO}:Q8_0")) is None


def test_of_two_commits_here_the_branchs_own_counts(rig: HubRig, pulls: Pulls) -> None:
    path = pulls(f"hf:{REPO}/{Q4}").path
    rig.commit, rig.files[Q4] = "f" * 40, noise(SIZE, 7)
    newer = pulls(f"hf:{REPO}/{Q4}").path
    assert cached.find(pulls.hub, read(f"hf:{REPO}/{Q4}")) == newer
    (pulls.hub.folder(REPO) / "refs" / "main").write_text(COMMIT)
    assert cached.find(pulls.hub, read(f"hf:{REPO}/{Q4}")) == path


def test_what_is_no_hub_is_told_so(
    rig: HubRig, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HubRig, "told", lambda self: ["no", "hub"])
    assert "is no hub" in pulls.refused(f"hf:{REPO}")


def test_a_file_name_that_leads_out_of_its_folder_is_no_file(rig: HubRig, pulls: Pulls) -> None:
    rig.files = {"../../x-Q4_0.gguf": b"x", "a/../b.gguf": b"x", "\x1b[2J.gguf": b"x"}
    assert "has no GGUF file" in pulls.refused(f"hf:{REPO}")


def test_a_removed_model_leaves_the_others_and_no_bytes(rig: HubRig, pulls: Pulls) -> None:
    pulls(f"hf:{REPO}/{Q4}")
    pulls(f"hf:{REPO}:Q6_K")
    rig.commit = "f" * 40
    pulls(f"hf:{REPO}/{Q4}")
    found = {each.offer.quantisation: each for each in cached.every(pulls.hub)}
    assert len(list(cached.every(pulls.hub))) == 2  # though two commits have the first
    assert set(found) == {"Q4_K_M", "Q6_K"}
    assert cached.remove(pulls.hub, found["Q4_K_M"]) == SIZE
    assert [each.offer.quantisation for each in cached.every(pulls.hub)] == ["Q6_K"]
    assert sorted(pulls.blobs()) == sorted(rig.sha256(name) for name in PARTS)
    assert cached.remove(pulls.hub, found["Q6_K"]) == sum(len(rig.files[n]) for n in PARTS)
    assert not pulls.hub.folder(REPO).exists()


def test_how_much_of_a_model_is_here_is_told_over_all_its_parts(rig: HubRig, pulls: Pulls) -> None:
    pulls(f"hf:{REPO}/{Q4}")
    sizes = [len(rig.files[name]) for name in PARTS]
    for name in PARTS[:2]:  # the first is here, and half of the second
        blob = pulls.hub.blob(REPO, rig.etag(name))
        half = blob.with_name(f"{blob.name}.incomplete") if name == PARTS[1] else blob
        half.write_bytes(rig.files[name][: sizes[1] // 2 if name == PARTS[1] else None])
    told: list[int] = []
    lines: list[str] = []
    share = Share(Lines(lines.append), told.append)
    pull(pulls.hub, read(f"hf:{REPO}:Q6_K"), share)
    assert told == sorted(told)
    assert told[0] == 100 * (sizes[0] + sizes[1] // 2) // sum(sizes)
    assert told[-1] == 100
    assert any(line.startswith(f"pulling {PARTS[1]} (1 of 2)") for line in lines)
    assert any("going on from" in line for line in lines)


def test_lines_of_progress_come_at_a_pace_that_a_log_can_take() -> None:
    now = [0.0]
    lines: list[str] = []
    tell = Lines(lines.append, lambda: now[0])
    tell(Begins("m.gguf", 1, 1, 1000 * 2**20, 0))
    for second in range(1, 31):
        now[0] = float(second)
        tell(Got(second * 10 * 2**20))
    assert lines[1:] == [
        f"{10 * n}% of 1,000 MiB, 10 MiB/s, {100 - 10 * n} s left" for n in (1, 2, 3)
    ]


def test_half_files_are_counted_and_removed_but_not_while_they_grow(
    rig: HubRig, pulls: Pulls
) -> None:
    from filelock import FileLock

    partial = half_of(rig, pulls, Q4, 99)
    assert cached.partials(pulls.hub) == [(partial, 99)]
    lock = pulls.hub.lock(REPO, rig.etag(Q4))
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert cached.remove_partial(pulls.hub, partial) == 0
    assert cached.remove_partial(pulls.hub, partial) == 99
    assert not partial.exists()

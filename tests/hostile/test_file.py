"""Model files as they lie about: in parts, behind links, half there, under strangers' names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from mesh.errors import ModelFileError
from node.models.catalogue import inspect, model_id, resolve
from node.models.hub.place import Hub
from tests.hub_rig import REPO, HubRig, running

NAME = "big-{:05d}-of-{:05d}.gguf"


def part(
    path: Path, number: int, count: int, *, tensors: tuple[str, ...] = (), **says: Any
) -> Path:
    """Part ``number``, from 1, of a model; ``says``: what its header holds instead."""
    writer = gguf.GGUFWriter(path, says.pop("architecture", "llama"))
    writer.add_name(says.pop("name", "Big"))
    writer.add_uint16("split.no", says.get("no", number - 1))
    writer.add_uint16("split.count", says.get("count", count))
    writer.add_int32("split.tensors.count", says.get("total", count))
    if number == 1:
        writer.add_block_count(1)
        writer.add_embedding_length(8)
    for name in tensors or (f"blk.0.part{number}.weight",):
        writer.add_tensor(name, np.ones((8, 8), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def parts(folder: Path, count: int = 3) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [part(folder / NAME.format(n, count), n, count) for n in range(1, count + 1)]


def hub(root: Path, count: int = 3) -> list[Path]:
    """The parts as the hub's cache has them: links into blobs that are named by a hash."""
    blobs, snapshot = root / "blobs", root / "snapshots" / "0a1b"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    links = []
    for number, path in enumerate(parts(root / "made", count), 1):
        blob = path.rename(blobs / f"{number:064x}")
        link = snapshot / path.name
        link.symlink_to(Path("..", "..", "blobs", blob.name))
        links.append(link)
    return links


def as_hub(root: Path) -> Path:
    return hub(root)[0]


def plain(root: Path) -> Path:
    return parts(root)[0]


def link_to_the_first(root: Path) -> Path:
    """The usual way to put a model elsewhere: one link, to where all parts are."""
    first, *_ = parts(root / "data")
    link = root / first.name
    link.symlink_to(first)
    return link


def link_of_another_name(root: Path) -> Path:
    link = root / "model.gguf"
    link.symlink_to(hub(root)[0])
    return link


def link_to_a_folder(root: Path) -> Path:
    first = hub(root)[0]
    (root / "here").symlink_to(first.parent)
    return root / "here" / first.name


@pytest.mark.parametrize(
    "make", [plain, as_hub, link_to_the_first, link_of_another_name, link_to_a_folder]
)
def test_a_model_in_parts_is_one_model_however_it_is_linked(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    path = resolve(str(make(tmp_path)))
    assert path.name == NAME.format(1, 3), "llama.cpp finds the others by this name"
    facts = inspect(path)
    assert facts.parameters == 3 * 64
    assert facts.file_bytes == sum(
        path.with_name(NAME.format(n, 3)).stat().st_size for n in (1, 2, 3)
    )


def test_a_whole_model_keeps_the_name_of_its_link(tmp_path: Path) -> None:
    blob = part(tmp_path / "0f0f", 1, 1)
    link = tmp_path / "small.gguf"
    link.symlink_to(blob)
    assert resolve(str(link)) == link
    assert model_id(str(link)) == "small"
    assert inspect(link).parameters == 64


def missing(root: Path) -> Path:
    first, second, _ = parts(root)
    second.unlink()
    return first


def dangling(root: Path) -> Path:
    first, *_ = hub(root)
    (root / "blobs" / f"{3:064x}").unlink()
    return first


def renamed(root: Path) -> Path:
    first, *_ = parts(root)
    return first.rename(root / "model.gguf")


def swapped(root: Path) -> Path:
    first, second, third = parts(root)
    second.rename(root / "x")
    third.rename(second)
    (root / "x").rename(third)
    return first


def twice(root: Path) -> Path:
    first, second, third = parts(root)
    third.write_bytes(second.read_bytes())
    return first


def of_another(root: Path) -> Path:
    first, second, _ = parts(root)
    part(second, 2, 5)
    return first


def same_weights(root: Path) -> Path:
    first, second, _ = parts(root)
    part(second, 2, 3, tensors=("blk.0.part1.weight",))
    return first


def fewer_weights(root: Path) -> Path:
    first, *_ = parts(root)
    return part(first, 1, 3, total=7)


def no_part(root: Path) -> Path:
    first, second, _ = parts(root)
    second.write_bytes(b"<html>not found</html>")
    return first


def half(root: Path) -> Path:
    first, second, _ = parts(root)
    second.write_bytes(second.read_bytes()[:-100])
    return first


def second_given(root: Path) -> Path:
    return parts(root)[1]


def too_many(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    return part(root / NAME.format(1, 9999), 1, 9999)


def endless_links(root: Path) -> Path:
    (root / "a.gguf").symlink_to(root / "b.gguf")
    (root / "b.gguf").symlink_to(root / "a.gguf")
    return root / "a.gguf"


def odd_architecture(root: Path) -> Path:
    return part(root / "m.gguf", 1, 1, architecture="\x1b[31mllama\n")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, "in 3 files and big-00002-of-00003.gguf is not beside it; copy or download"),
        (dangling, "big-00003-of-00003.gguf is not beside it"),
        (renamed, "its name does not say so; rename"),
        (swapped, "big-00002-of-00003.gguf is in truth part 3 of the model"),
        (twice, "big-00003-of-00003.gguf is in truth part 2 of the model"),
        (of_another, "is no part of a model in 3 files"),
        (same_weights, "has weights that big-00001-of-00003.gguf has too"),
        (fewer_weights, "says that it has 7 tensors and its 3 files have 3"),
        (no_part, "big-00002-of-00003.gguf is not a GGUF file"),
        (half, "big-00002-of-00003.gguf is truncated"),
        (second_given, "is part 2 of 3 of a model; give the first"),
        (too_many, "is of a model in 9999 files"),
        (endless_links, "links without end"),
        (odd_architecture, "names no architecture"),
    ],
)
def test_a_set_that_is_not_whole_is_one_clear_line(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    with pytest.raises(ModelFileError) as caught:
        inspect(resolve(str(make(tmp_path))))
    assert words in caught.value.message
    assert caught.value.message.isprintable()


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubRig]:
    """The hub, with a model in three parts, and one whose second part is lacking."""
    files = {f"Q4/{path.name}": path.read_bytes() for path in parts(tmp_path / "made")}
    files |= {
        name.removeprefix("Q4/"): data for name, data in files.items() if "-00002-" not in name
    }
    with running(HubRig(files=files)) as rig:
        monkeypatch.setattr(Hub, "here", lambda: rig.hub(tmp_path / "cache"))
        yield rig


@pytest.mark.parametrize("given", [1, 3])
def test_all_parts_of_a_hub_model_are_fetched_of_one_commit(big: HubRig, given: int) -> None:
    path = resolve(f"hf:{REPO}/Q4/{NAME.format(given, 3)}")
    assert path.parent.parent.name == big.commit
    assert inspect(path).parameters == 3 * 64
    big.commit = "f" * 40  # what is here is not asked for again
    asked = len(big.asked)
    assert resolve(f"hf:{REPO}/Q4/{NAME.format(given, 3)}") == path
    assert len(big.asked) == asked


def test_a_part_that_the_hub_lacks_is_named(big: HubRig) -> None:
    with pytest.raises(ModelFileError, match=r"has no file 'big-00002-of-00003\.gguf'"):
        resolve(f"hf:{REPO}/{NAME.format(1, 3)}")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b]0;owned\x07Fine\nname", "Fine name"),
        ("\u202eevil\u2066", "evil"),
        ("x" * 100_000, "x" * 119 + "…"),
        ("\n", "m"),
    ],
)
def test_a_name_in_a_file_is_one_printable_line(tmp_path: Path, name: str, shown: str) -> None:
    assert inspect(part(tmp_path / "m.gguf", 1, 1, name=name)).name == shown

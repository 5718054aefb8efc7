"""A node serves a folder: what appears, changes, breaks and goes in it, with moved time."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mesh.errors import ConfigError
from mesh.fleet.records import encode_record
from mesh.settings.folder import ModelsFolder
from mesh.settings.load import load
from mesh.settings.model import ModelSettings
from mesh.settings.node import NodeSettings
from mesh.transport.base import Finished
from mesh.types import ModelId
from node.models.roster import Origin
from node.models.watching import FolderWatch, checked
from tests.gguf import write_random
from tests.hostile.test_file import parts
from tests.node_fakes import done
from tests.residency_rig import OPENED, Box, box, model


class Watched:
    def __init__(self, node: Box, watch: FolderWatch, folder: Path) -> None:
        self.node = node
        self.watch = watch
        self.folder = folder

    async def looks(self, count: int = 3) -> None:
        for _ in range(count * 20):
            await self.node.clock.advance(0.1)
            await asyncio.sleep(0.002)

    def served(self) -> set[str]:
        return {each.id for each in self.node.roster if not each.retired}

    def useless(self) -> dict[str, str | None]:
        return {record.id: record.error for record in self.watch.records()}


@asynccontextmanager
async def watched(
    folder: Path, *models: ModelSettings, **changes: object
) -> AsyncIterator[Watched]:
    served = folder / "served"
    served.mkdir()
    settings = ModelsFolder(path=str(served), gpu_layers=0, context_length=64, **changes)  # type: ignore[arg-type]
    async with box(folder, *models) as node, asyncio.TaskGroup() as group:
        watch = FolderWatch(
            settings,
            node.roster,
            node.model,
            clock=node.clock,
            on_change=node.residency.changed,
        )
        task = group.create_task(watch.run())
        try:
            yield Watched(node, watch, served)
        finally:
            task.cancel()


async def test_what_appears_is_served_under_its_name_and_what_goes_is_not(tmp_path: Path) -> None:
    async with watched(tmp_path) as it:
        await it.looks()
        assert it.served() == set()
        assert it.watch.waits == f"waits for models: no *.gguf in {it.folder} yet"
        write_random(it.folder / "math.gguf")
        await it.looks()
        assert it.served() == {"math"}
        assert [r.specialties for r in it.node.residency.records()] == [("math",)]
        await it.node.until(lambda: it.node.resident() == {"math"})
        assert isinstance((await it.node.ask("math"))[-1], Finished)
        (it.folder / "math.gguf").unlink()
        await it.looks()
        assert it.served() == set()


async def test_a_file_that_goes_while_it_answers_is_removed_after_that(tmp_path: Path) -> None:
    async with watched(tmp_path) as it, asyncio.TaskGroup() as group:
        write_random(it.folder / "math.gguf")
        await it.node.until(lambda: it.node.resident() == {"math"})
        runner = it.node.runners["math"]
        runner.script = (OPENED,)
        running = group.create_task(it.node.ask("math"))
        await it.node.until(lambda: bool(runner.opened))
        (it.folder / "math.gguf").unlink()
        await it.looks()
        assert it.served() == set()
        assert not runner.stopped
        runner.opened[0][0].put(done())
        assert isinstance((await running)[-1], Finished)
        await it.node.until(lambda: runner.stopped)


async def test_a_file_is_left_alone_while_it_grows_and_told_once_where_it_stays_half(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    whole = write_random(tmp_path / "whole.gguf").read_bytes()
    async with watched(tmp_path) as it:
        file = it.folder / "math.gguf"
        for part in range(1, 6):
            file.write_bytes(whole[: part * 1000])
            await it.looks(1)
        assert (it.served(), it.useless()) == (set(), {})
        file.write_bytes(whole[:-1000])
        await it.looks(6)
        assert it.served() == set()
        (why,) = it.useless().values()
        assert why is not None
        assert str(file) in why
        half = f"{len(whole) - 1000} bytes are here"
        assert len([r for r in caplog.records if half in r.message]) == 1
        file.write_bytes(whole)
        await it.looks()
        assert (it.served(), it.useless()) == ({"math"}, {})


async def test_a_changed_file_is_served_as_it_is_now(tmp_path: Path) -> None:
    async with watched(tmp_path) as it:
        file = write_random(it.folder / "math.gguf")
        await it.node.until(lambda: it.node.resident() == {"math"})
        write_random(tmp_path / "new.gguf", seed=1, context=128).replace(file)
        await it.looks(4)
        await it.node.until(lambda: it.node.resident() == {"math"})
        assert it.node.made == ["math", "math"]


async def test_a_split_model_waits_for_all_its_parts(tmp_path: Path) -> None:
    first, second = (f"math-0000{n}-of-00002.gguf" for n in (1, 2))
    async with watched(tmp_path) as it:
        write_random(it.folder / first)
        await it.looks()
        assert it.served() == set()
        assert it.useless() == {"math": "1 of its 2 files are here"}
        write_random(it.folder / second)
        await it.looks()
        assert (it.served(), it.useless()) == ({"math"}, {})


async def test_names_that_are_no_specialty_and_ids_that_are_taken_are_told(tmp_path: Path) -> None:
    async with watched(tmp_path, model("math")) as it:
        write_random(it.folder / "Qwen2.5 Instruct.gguf")
        write_random(it.folder / "math.gguf")
        await it.looks()
        assert it.served() == {"math"}
        assert it.node.made == ["math"]
        (why,) = it.useless().values()
        assert "named after its specialty" in str(why)


async def test_a_file_whose_id_was_taken_is_served_once_it_is_free(tmp_path: Path) -> None:
    async with watched(tmp_path, model("math")) as it:
        await it.node.until(lambda: it.node.resident() == {"math"})
        write_random(it.folder / "math.gguf")
        await it.looks()
        assert it.node.roster.origins == {"math": Origin.SETTINGS}
        it.node.roster.remove(ModelId("math"), "the test says so")
        await it.looks(4)
        assert it.node.roster.origins == {"math": Origin.FOLDER}


async def test_with_specialties_any_name_will_do(tmp_path: Path) -> None:
    async with watched(tmp_path, specialties=("chat", "code")) as it:
        write_random(it.folder / "Qwen2.5 Instruct.gguf")
        await it.looks()
        assert [(r.id, r.specialties) for r in it.node.residency.records()] == [
            ("qwen2.5-instruct", ("chat", "code"))
        ]


async def test_what_lies_about_in_a_folder_is_told_and_hurts_nobody(tmp_path: Path) -> None:
    async with watched(tmp_path, specialties=("chat",)) as it:
        folder = it.folder
        os.mkfifo(folder / "pipe.gguf")
        (folder / "folder.gguf").mkdir()
        (folder / "loop.gguf").symlink_to(folder / "loop.gguf")
        (folder / "empty.gguf").touch()
        (folder / "text.gguf").write_text("no model")
        (folder / "._text.gguf").write_text("a Mac's own")
        (folder / "notes.txt").write_text("no model")
        write_random(Path(os.fsdecode(bytes(folder) + b"/\xff\x1b[31m.gguf")))
        write_random(tmp_path / "elsewhere.gguf")
        (folder / "link.gguf").symlink_to(tmp_path / "elsewhere.gguf")
        await it.looks(6)
        assert it.served() == {"link"}
        useless = it.useless()
        assert {"pipe", "folder", "loop", "empty", "text"} < set(useless)
        assert len(useless) == 6
        assert useless["pipe"] == "it is no file"
        assert [why for why in useless.values() if "cannot be shown" in str(why)]
        for record in it.watch.records():
            assert encode_record(record)


async def test_a_link_to_the_first_part_is_all_of_its_model(tmp_path: Path) -> None:
    first, *_ = parts(tmp_path / "data")
    async with watched(tmp_path) as it:
        (it.folder / "big.gguf").symlink_to(first)
        await it.looks()
        assert (it.served(), it.useless()) == ({"big"}, {})


async def test_a_folder_that_is_away_takes_no_model_with_it(tmp_path: Path) -> None:
    async with watched(tmp_path) as it:
        write_random(it.folder / "math.gguf")
        await it.node.until(lambda: it.node.resident() == {"math"})
        it.folder.rename(tmp_path / "away")
        await it.looks()
        assert it.served() == {"math"}
        assert "cannot read" in it.watch.waits
        (tmp_path / "away").rename(it.folder)
        await it.looks()
        assert (it.served(), it.node.made) == ({"math"}, ["math"])


def test_settings_name_the_key_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'models_folder\.specialty'; .* 'specialties'"):
        load(NodeSettings, {"name": "n", "models_folder": {"path": "x", "specialty": ["chat"]}})
    with pytest.raises(ConfigError, match="specialty 'Math' is not a name"):
        load(NodeSettings, {"name": "n", "models_folder": {"path": "x", "specialties": ["Math"]}})
    with pytest.raises(ConfigError, match="does not exist"):
        checked(ModelsFolder(path=str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="engine torch does not load"):
        checked(ModelsFolder(path=str(tmp_path), engine="torch"))

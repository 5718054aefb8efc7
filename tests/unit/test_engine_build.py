"""Which llama.cpp is built for which cards, and what stands in the way."""

from __future__ import annotations

import fcntl
import os
import zipfile
from dataclasses import replace
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import IO

import pytest

from mesh.errors import ConfigError, EngineFailed
from node.engines.llama_cpp.cuda import found, kept, make
from node.engines.llama_cpp.cuda.cards import ARCHITECTURES, compiles, wanted
from node.engines.llama_cpp.cuda.kept import Built
from node.engines.llama_cpp.cuda.plan import Box, BuildPlan, Card, Toolkit, build_plan
from node.engines.llama_cpp.cuda.progress import Progress, progress
from node.engines.llama_cpp.traits import LlamaCppTraits

GTX_1080 = Card(name="GTX 1080", capability=(6, 1))
P100 = Card(name="Tesla P100", capability=(6, 0))
V100 = Card(name="Tesla V100", capability=(7, 0))
RTX_4070 = Card(name="RTX 4070", capability=(8, 9))
RTX_5090 = Card(name="RTX 5090", capability=(12, 0))
H200 = Card(name="H200", capability=(9, 0))
CUDA_12_4 = Toolkit(folder="/usr/local/cuda-12.4", version=(12, 4))
CUDA_12_8 = Toolkit(folder="/usr/local/cuda-12.8", version=(12, 8))
CUDA_13_0 = Toolkit(folder="/usr/local/cuda-13.0", version=(13, 0))
BOX = Box(
    cards=(GTX_1080,),
    driver=(12, 8),
    no_driver="",
    toolkits=(CUDA_12_4,),
    compiler=True,
    cores=8,
    memory_bytes=32 * 10**9,
)


@pytest.mark.parametrize(
    ("cards", "toolkits", "driver", "name"),
    [
        ((GTX_1080,), (CUDA_12_4,), (12, 8), "cuda12.4-sm61"),
        ((GTX_1080, RTX_4070), (CUDA_12_4,), (12, 8), "cuda12.4-sm61-sm89"),
        ((RTX_4070, RTX_4070), (CUDA_12_4,), (12, 8), "cuda12.4-sm89"),
        ((P100, V100), (CUDA_12_8, CUDA_12_4), (12, 8), "cuda12.8-sm60-sm70"),
        ((GTX_1080,), (CUDA_13_0, CUDA_12_4), (13, 0), "cuda12.4-sm61"),
        ((RTX_4070,), (CUDA_13_0, CUDA_12_4), (12, 4), "cuda12.4-sm89"),
        ((H200,), (CUDA_13_0,), (13, 0), "cuda13.0-sm90"),
        ((RTX_5090,), (CUDA_12_4, CUDA_12_8), (12, 8), "cuda12.8-sm120"),
    ],
)
def test_the_toolkit_is_one_that_compiles_for_the_cards_and_that_the_driver_runs(
    cards: tuple[Card, ...],
    toolkits: tuple[Toolkit, ...],
    driver: tuple[int, int],
    name: str,
) -> None:
    plan = build_plan(replace(BOX, cards=cards, toolkits=toolkits, driver=driver))
    assert plan.name == name
    assert plan.left_out == ()


def test_it_is_compiled_for_these_cards_and_no_other() -> None:
    plan = build_plan(replace(BOX, cards=(GTX_1080, RTX_4070)))
    assert plan.cmake_arguments == (
        "-DGGML_CUDA=on",
        "-DCMAKE_CUDA_ARCHITECTURES=61-real;89-real",
        "-DCMAKE_CUDA_COMPILER=/usr/local/cuda-12.4/bin/nvcc",
    )
    assert plan.jobs == 8
    assert build_plan(replace(BOX, memory_bytes=5 * 10**9)).jobs == 2  # nvcc takes 2 GB each
    assert build_plan(replace(BOX, memory_bytes=0)).jobs == 1


def test_a_card_that_no_toolkit_here_is_for_is_left_out_and_named() -> None:
    plan = build_plan(replace(BOX, cards=(GTX_1080, RTX_5090)))
    assert plan.name == "cuda12.4-sm61"
    assert plan.left_out == ("RTX 5090: wants CUDA 12.8 or newer, and this is 12.4",)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (replace(BOX, cards=(), no_driver="no NVIDIA driver"), "no NVIDIA GPU.*no NVIDIA driver"),
        (replace(BOX, toolkits=()), r"no CUDA toolkit.*install CUDA 11.0 to 12.x"),
        (replace(BOX, toolkits=(), cards=(RTX_5090,)), r"install CUDA 12.8 or newer"),
        (
            replace(BOX, toolkits=(CUDA_13_0,), driver=(13, 0)),
            r"CUDA 13.0 compiles for none of GTX",
        ),
        (replace(BOX, compiler=False), r"install g\+\+"),
        (replace(BOX, driver=(11, 8)), "update the driver, or install CUDA 11.x"),
        (
            replace(BOX, cards=(Card(name="GTX 680", capability=(3, 0)),)),
            "wants compute capability 5",
        ),
        (replace(BOX, cards=(Card(name="?", capability=None),)), "driver does not say"),
    ],
)
def test_what_stands_in_the_way_is_said_with_what_to_do(box: Box, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        build_plan(box)
    assert "\n" not in caught.value.message


def test_every_architecture_of_the_table_has_a_toolkit() -> None:
    for each in ARCHITECTURES:
        for capability in each.capabilities:
            assert compiles(each.since, capability)
            assert each.until is None or not compiles(each.until, capability)
            assert wanted(capability).startswith("CUDA ")
    assert not compiles((12, 8), (13, 0))  # a card newer than the table: a newer toolkit may
    assert compiles((14, 0), (13, 0))


@pytest.mark.parametrize(
    ("line", "share", "what"),
    [
        ("  [12/300] Building CXX object x/llama.dir/llama-vocab.cpp.o", 0.04, "llama-vocab.cpp"),
        ("[ 41%] Building CUDA object ggml/src/ggml-cuda/x.dir/mmq.cu.o", 0.41, "mmq.cu"),
        ("[300/300] Linking CXX shared library bin/libllama.so", 1.0, ""),
    ],
)  # fmt: skip
def test_how_far_it_is_is_read_from_what_the_builders_say(
    line: str, share: float, what: str
) -> None:
    told = progress(line)
    assert told == Progress(share, what)


def test_what_pip_does_before_and_after_it_is_told_too() -> None:
    said = progress("Collecting numpy==2.1.0 (from -r requirements.lock (line 3))")
    assert said is not None
    assert said.words(0.0) == "fetching numpy"
    said = progress("Installing collected packages: numpy, click")
    assert said is not None
    assert said.words(99.0) == "installing what was fetched"


def test_how_long_is_left_is_told_once_it_can_be_known() -> None:
    assert progress("-- Found Threads: TRUE") is None
    assert Progress(None).words(0.0) == "preparing"
    assert Progress(0.02, "a.c").words(60.0) == "compiling a.c: 2%"
    assert Progress(0.25, "a.c").words(60.0) == "compiling a.c: 25%, about 3 min left"
    assert Progress(0.75).words(60.0) == "compiling: 75%, about 20 s left"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESH_STATE_DIR", str(tmp_path))
    return tmp_path


def keep(name: str, of: str, *libraries: str) -> None:
    folder = kept.package(name) / "lib"
    folder.mkdir(parents=True)
    for library in libraries:
        (folder / library).touch()
    kept.keep(kept.place(name), Built(name=name, version=of))


def test_a_build_is_used_once_chosen_and_only_with_the_package_that_it_is_of(state: Path) -> None:
    installed = version(kept.DISTRIBUTION)
    assert kept.in_use() == (None, "")
    keep("cuda12.4-sm61", installed, "libggml-cuda.so")
    keep("old", "0.0.1", "libggml-cuda.so")
    (kept.folder() / "half").mkdir()  # a build that broke off says nothing of itself
    assert [built.name for built in kept.builds()] == ["cuda12.4-sm61", "old"]
    assert kept.in_use() == (None, "")
    kept.use("cuda12.4-sm61")
    assert kept.in_use() == (kept.place("cuda12.4-sm61"), "")
    kept.use("old")
    folder, why = kept.in_use()
    assert folder is None
    assert "0.0.1" in why
    kept.use(None)
    assert kept.in_use() == (None, "")
    with pytest.raises(ConfigError, match=r"there are cpu, cuda12\.4-sm61, old"):
        kept.use("half")


@pytest.mark.parametrize("text", ["", "nobody\n", "\0", "../../etc", "x" * 5000])
def test_a_choice_that_means_nothing_is_the_installed_one(state: Path, text: str) -> None:
    kept.folder().mkdir(parents=True)
    (kept.folder() / "used").write_text(text)
    build, why = kept.in_use()
    assert build is None
    assert ("gone or damaged" in why) is bool(text.strip("\0"))
    assert len(why) < 300
    assert why.isprintable()


def test_a_runner_is_told_of_the_build_and_a_gpu_is_then_no_longer_idle(state: Path) -> None:
    traits = LlamaCppTraits()
    assert "engine is CPU-only" in traits.gpu_gap()
    keep("cuda12.4-sm61", version(kept.DISTRIBUTION), "libggml-base.so", "libggml-cuda.so")
    kept.use("cuda12.4-sm61")
    assert traits.gpu_gap() == ""
    environment = traits.runner_environment(None)  # type: ignore[arg-type]
    assert environment[kept.VARIABLE] == str(kept.place("cuda12.4-sm61"))


def test_toolkits_are_found_where_they_are_said_and_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nvcc(name: str, says: str) -> Path:
        program = tmp_path / name / "bin" / "nvcc"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho '{says}'\n")
        program.chmod(0o755)
        return program.parents[1]

    home = nvcc("home", "Cuda compilation tools, release 12.4, V12.4.131")
    nvcc("cuda-13", "Cuda compilation tools, release 13.0, V13.0.48")
    nvcc("cuda-broken", "no such thing")
    monkeypatch.setattr(found, "USUAL", (str(tmp_path),))
    monkeypatch.setenv("CUDA_HOME", str(home))
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.setenv("PATH", os.defpath)
    assert found.toolkits() == (
        Toolkit(folder=str(home), version=(12, 4)),
        Toolkit(folder=str(tmp_path / "cuda-13"), version=(13, 0)),
    )


def test_what_a_build_computes_on_is_read_from_its_libraries(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    for name in ("libggml.so", "libggml-base.so.0", "libggml-cpu-haswell.so", "libllama.so"):
        (tmp_path / "lib" / name).touch()
    assert found.backends(tmp_path) == ()
    (tmp_path / "lib" / "libggml-cuda.so.0.25").touch()
    (tmp_path / "lib" / "libggml-vulkan.so").touch()
    assert found.backends(tmp_path) == ("cuda", "vulkan")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"offload": False}, "finds no GPU"),
        ({"offload": True, "gpu": " Berlin", "cpu": " Paris, of course"}, "computes wrongly"),
        ({"offload": True, "gpu": "", "cpu": ""}, "computes wrongly"),
    ],
)
def test_a_build_that_does_not_work_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, object], words: str
) -> None:
    (tmp_path / "llama_cpp" / "lib").mkdir(parents=True)
    with pytest.raises(EngineFailed, match="no part for GPUs"):
        make.works(tmp_path, None)
    (tmp_path / "llama_cpp" / "lib" / "libggml-cuda.so").touch()
    monkeypatch.setattr(make, "trial", lambda *_: said)
    with pytest.raises(EngineFailed, match=words):
        make.works(tmp_path, tmp_path / "model.gguf")


def test_a_build_that_says_what_the_cpu_says_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llama_cpp" / "lib").mkdir(parents=True)
    (tmp_path / "llama_cpp" / "lib" / "libggml-cuda.so").touch()
    said = {
        "offload": True,
        "devices": "CUDA",
        "gpu": " Paris. It is a",
        "cpu": " Paris. It is the",
    }
    monkeypatch.setattr(make, "trial", lambda *_: said)
    assert (
        make.works(tmp_path, tmp_path / "m.gguf") == "computes on CUDA, and says what the CPU says"
    )


@pytest.fixture
def compiles_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(plan: BuildPlan, wanted: str, place: Path, out: IO[str]) -> Path:
        wheel = place / "x.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("llama_cpp/lib/libggml-cuda.so", wanted)
        return wheel

    monkeypatch.setattr(make, "_compiled", compiled)
    monkeypatch.setattr(make, "trial", lambda *_: {"offload": True})
    monkeypatch.setattr(make, "LEAST_FREE_BYTES", 0)


def build() -> Built:
    return make.made(build_plan(BOX), cards=(), model=None, out=StringIO())


@pytest.mark.usefixtures("compiles_at_once")
def test_a_build_takes_the_place_of_the_one_before_and_of_what_a_killed_one_left(
    state: Path,
) -> None:
    left = kept.folder() / ".building-dead"
    left.mkdir(parents=True)
    (left / "huge").touch()
    assert build() == kept.used()
    (kept.place("cuda12.4-sm61") / "old").touch()
    assert build() == kept.used()
    there = {path.name for path in kept.folder().iterdir()}
    assert there == {"cuda12.4-sm61", "used", ".building"}
    assert not (kept.place("cuda12.4-sm61") / "old").exists()


@pytest.mark.usefixtures("compiles_at_once")
def test_of_two_builds_at_once_the_second_says_so(state: Path) -> None:
    kept.folder().mkdir(parents=True)
    with (kept.folder() / ".building").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another `mesh engine build`"):
            build()


@pytest.mark.usefixtures("compiles_at_once")
@pytest.mark.parametrize("what", ["keep", "works"])
def test_a_build_that_breaks_off_leaves_the_one_before_in_use(
    what: str, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = build()

    def refuses(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(make.kept if what == "keep" else make, what, refuses)
    with pytest.raises(EngineFailed, match="No space left"):
        build()
    assert kept.used() == before
    assert kept.in_use() == (kept.place(before.name), "")


def test_a_state_folder_that_cannot_be_written_is_a_sentence(state: Path) -> None:
    (state / "engines").write_text("in the way")
    with pytest.raises(ConfigError, match="cannot choose in"):
        kept.use(None)
    with pytest.raises(EngineFailed, match="cannot be kept"):
        build()

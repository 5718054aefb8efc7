"""`mesh models` lists, shows, pulls and removes, with a stand-in of the hub and its own cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mesh.cli.models import listing, models, remove, show
from mesh.cli.models.progress import brought
from mesh.errors import MeshError
from mesh.fleet.records import Gpu, NodeRecord, NodeState
from mesh.local import first_model
from mesh.local.uses import _cache, hosts, users
from mesh.types import NodeId
from node.models.fit import box
from node.models.fit.__main__ import main as fit_main
from node.models.hub.place import Hub
from tests.gguf import write_random
from tests.hub_rig import REPO, HubRig, running
from tests.node_fakes import Hosted

Q4, Q8 = "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("weights")
    return [write_random(folder / f"{n}.gguf", seed=n).read_bytes() for n in (1, 2)]


@pytest.fixture
def hub(
    weights: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[HubRig, Hub]]:
    with running(HubRig(files=dict(zip((Q4, Q8), weights, strict=True)))) as rig:
        place = rig.hub(tmp_path / "cache")
        monkeypatch.setattr(Hub, "here", lambda: place)
        monkeypatch.setattr(first_model, "first_model", lambda: None)

        async def nobody(endpoint: str) -> tuple[None, str]:
            return None, "no orchestrator answers"

        monkeypatch.setattr(listing, "seen", nobody)
        monkeypatch.setattr(show, "seen", nobody)
        monkeypatch.setattr(remove, "seen", nobody)
        yield rig, place


def run(*arguments: str) -> Result:
    return CliRunner().invoke(models, list(arguments))


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, MeshError), result.output
    return result.exception.message


def test_the_output_of_a_pull_is_the_path_and_all_else_is_told_beside(
    hub: tuple[HubRig, Hub], weights: list[bytes]
) -> None:
    result = run("pull", f"hf:{REPO}")
    assert result.exit_code == 0
    assert Path(result.stdout.strip()).read_bytes() == weights[0]
    for words in (f"{REPO}: {Q4}", "there is also: Q8_0", "its SHA-256 is right"):
        assert words in result.stderr
    assert "\x1b" not in result.stderr
    assert "the newest" in run("pull", f"hf:{REPO}").stderr


def test_what_a_command_is_about_to_use_is_pulled_once_and_told(
    hub: tuple[HubRig, Hub], capsys: pytest.CaptureFixture[str]
) -> None:
    rig, _ = hub
    brought(f"hf:{REPO}")
    assert "its SHA-256 is right" in capsys.readouterr().err
    asked = len(rig.asked)
    brought(f"hf:{REPO}:Q4_K_M")
    brought("/no/such.gguf")
    assert len(rig.asked) == asked
    assert capsys.readouterr().err == ""


def test_what_is_no_source_is_answered_with_one(hub: tuple[HubRig, Hub]) -> None:
    assert refused("pull", REPO).endswith(f"try hf:{REPO}")
    assert refused("pull", f"https://huggingface.co/{REPO}").endswith(f"try hf:{REPO}")
    assert "is not of the form" in refused("pull", "tiny")


def test_without_a_command_this_boxs_models_are_listed(
    hub: tuple[HubRig, Hub], tmp_path: Path
) -> None:
    assert "no model on this box; `mesh models pull" in run().stdout
    run("pull", f"hf:{REPO}")
    (tmp_path / "mine").mkdir()
    write_random(tmp_path / "mine" / "own.gguf")
    (tmp_path / "mine" / "bad\x1b[2J.gguf").write_bytes(b"no")
    page = run("--folder", str(tmp_path / "mine")).stdout
    assert "tiny-q4_k_m" in page
    assert f"hf:{REPO}:Q4_K_M" in page
    assert "own" in page
    assert "is not a GGUF file" in " ".join(page.split())
    assert "\x1b" not in page
    assert "no fleet: no orchestrator answers" in page
    told = json.loads(run("--folder", str(tmp_path / "mine"), "--json").stdout)
    assert told["fleet"] is None
    assert {each["id"]: each["place"] for each in told["here"]} == {
        "tiny-q4_k_m": "hub",
        "own": "folder",
        "bad-2j": "folder",
    }


def test_a_box_that_runs_no_node_lists_the_fleet_alone(
    hub: tuple[HubRig, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "missing", lambda extra: ("aetcd",))
    page = run().stdout
    assert "squadron-mesh[node]" in page
    assert "no fleet" in page
    assert json.loads(run("--json").stdout)["here"] is None


def test_a_damaged_package_is_listed_with_what_is_wrong(
    hub: tuple[HubRig, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged() -> Path:
        raise first_model._damaged("it is cut")

    monkeypatch.setattr(first_model, "first_model", damaged)
    assert "is damaged: it is cut" in " ".join(run().stdout.split())


def test_a_model_is_shown_by_any_of_its_names(hub: tuple[HubRig, Hub]) -> None:
    rig, _ = hub
    path = run("pull", f"hf:{REPO}").stdout.strip()
    for name in ("tiny-q4_k_m", "TINY", f"hf:{REPO}", f"hf:{REPO}:Q4_K_M", REPO, Q4, path):
        page = run("show", name).stdout
        assert rig.sha256(Q4) in page, name
        assert "quantisation: F32" in page
        assert "256 tokens" in page
    assert "{% for message" in run("show", "tiny", "--template").stdout
    told = json.loads(run("show", "tiny", "--json").stdout)
    assert told["sha256"] == {path: rig.sha256(Q4)}


def test_what_is_not_here_is_shown_as_the_hub_has_it(hub: tuple[HubRig, Hub]) -> None:
    rig, place = hub
    page = run("show", f"hf:{REPO}").stdout
    assert f"{Q4}, which a pull takes" in page
    assert not place.cache.exists()
    told = json.loads(run("show", f"hf:{REPO}", "--json").stdout)
    assert [each["picked"] for each in told["models"] if each["quantisation"] == "Q4_K_M"] == [True]
    rig.files["x-Q4_K_M.gguf"] = b"x"
    assert "say which" in run("show", f"hf:{REPO}").stdout
    assert "has no Q2_K" in refused("show", f"hf:{REPO}:Q2_K")


def test_a_name_that_says_too_little_or_nothing_is_answered(hub: tuple[HubRig, Hub]) -> None:
    run("pull", f"hf:{REPO}:Q4_K_M")
    run("pull", f"hf:{REPO}:Q8_0")
    assert f"say which: hf:{REPO}:Q4_K_M, hf:{REPO}:Q8_0" in refused("show", "tiny")
    assert "near it: tiny-q8_0" in refused("show", "tini-q8_0")
    assert "`mesh models` lists them" in refused("show", "zzz")
    assert "--folder" in refused("show", "/")


def test_a_removed_model_is_gone_and_the_bytes_are_told(
    hub: tuple[HubRig, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(run("pull", f"hf:{REPO}").stdout.strip())
    assert "say --yes" in refused("rm", "tiny")
    assert path.exists()
    result = run("rm", "tiny", f"hf:{REPO}", "--yes")
    assert result.stdout == "freed 0 MiB\n"
    assert not path.exists()
    assert "is not on this box" in refused("rm", f"hf:{REPO}", "--yes")


def test_files_that_the_hub_does_not_have_are_never_removed(
    hub: tuple[HubRig, Hub], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_random(tmp_path / "own.gguf")
    assert "delete the file yourself" in refused("rm", str(own), "--yes")
    monkeypatch.setattr(first_model, "first_model", lambda: own)
    assert "pip uninstall" in refused("rm", first_model.MODEL_ID, "--yes")
    assert own.exists()


def test_half_files_are_told_and_removed(hub: tuple[HubRig, Hub]) -> None:
    rig, place = hub
    half = place.blob(REPO, rig.etag(Q4) + ".incomplete")
    half.parent.mkdir(parents=True)
    half.write_bytes(bytes(3 * 2**20))
    assert "unfinished downloads: 3 MiB" in run().stdout
    assert run("rm", "--unfinished", "--yes").stdout == "freed 3 MiB\n"
    assert run("rm", "--unfinished", "--yes").stdout == "no unfinished downloads\n"


NODE = "import sys; print('up', flush=True); sys.stdin.read()"
HOLDS = "import mmap, sys; f = open(sys.argv[1]); m = mmap.mmap(f.fileno(), 0, access=1);" + NODE


@pytest.mark.parametrize("how", ["source", "path", "mapped", "folder"])
def test_what_a_process_of_this_box_uses_is_not_removed(
    hub: tuple[HubRig, Hub], how: str, tmp_path: Path
) -> None:
    _, place = hub
    path = run("pull", f"hf:{REPO}").stdout.strip()
    source = {"source": f"hf:{REPO}:Q4_K_M", "path": path}.get(how, "")
    told: dict[str, object] = {"name": "box1", "models": [{"source": source}]}
    if how == "folder":
        (tmp_path / "shelf").mkdir()
        (tmp_path / "shelf/chat.gguf").symlink_to(path)
        told = {"name": "box1", "models_folder": {"path": str(tmp_path / "shelf")}}
    settings = json.dumps(told)
    arguments = [HOLDS, path] if how == "mapped" else [NODE, "-m", "node", settings]
    with subprocess.Popen(
        [sys.executable, "-c", *arguments],
        env=os.environ | {"HF_HUB_CACHE": str(place.cache)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            who = f"(pid {process.pid})" if how == "mapped" else f"node 'box1' (pid {process.pid})"
            assert who in refused("rm", "tiny", "--yes")
        finally:
            process.communicate()
    assert users([Path(path)]) == []
    assert run("rm", "tiny", "--yes").exit_code == 0


@pytest.mark.parametrize(("host", "busy"), [("here", True), ("there", False)])
def test_what_a_node_of_this_box_says_it_hosts_is_in_use_though_it_is_cold(
    tmp_path: Path, host: str, busy: bool
) -> None:
    (tmp_path / "blob").touch()
    (tmp_path / "link.gguf").symlink_to(tmp_path / "blob")
    model = replace(Hosted().model.record(), file=str(tmp_path / "link.gguf"))
    record = NodeRecord(
        id=NodeId("node-1"),
        instance="i",
        name="box1",
        host=host,
        pid=7,
        state=NodeState.READY,
        reason="",
        endpoint="tcp://127.0.0.1:1",
        models=(Hosted("other").model.record(), model),
    )
    found = hosts([tmp_path / "blob"], [record], "here")
    assert found == (["node 'box1' (pid 7)"] if busy else [])


@pytest.mark.parametrize(
    ("said", "cache"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
    ],
)
def test_a_process_is_asked_for_the_cache_that_its_library_uses(
    said: dict[str, str], cache: str
) -> None:
    code = "from huggingface_hub import constants; print(constants.HF_HUB_CACHE)"
    left = ("HF_", "HUGGINGFACE_", "XDG_CACHE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(left)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | said, capture_output=True, text=True, check=True
    )
    assert str(_cache(said)) == done.stdout.strip() == str(Path(cache).expanduser())


def gpu(index: int, free: int, **changes: object) -> Gpu:
    gib = 2**30
    made = {"total_bytes": 48 * gib, "used_bytes": 48 * gib - free * gib, "free_bytes": free * gib}
    return Gpu(uuid=f"GPU-{index}", name=f"Card {index}", index=index, **made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gpus", "first", "rest"),
    [
        ((), "for this box's CPU (no driver)", ()),
        ((gpu(0, 1), gpu(1, 40)), "for GPU 1, Card 1", ("GPU 0, Card 0: fits",)),
        ((gpu(0, 40, error="lost"),), "for this box's CPU (no driver)", ()),
        ((gpu(0, 0),), "for GPU 0, Card 0", ("this box's CPU: fits",)),
    ],
)
def test_a_fit_looks_at_what_this_box_has(
    gpus: tuple[Gpu, ...],
    first: str,
    rest: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Probe:
        def __init__(self, *arguments: object, **extra: object) -> None: ...

        def probe(self) -> tuple[tuple[Gpu, ...], str]:
            return gpus, "no driver"

    monkeypatch.setattr(box, "NvmlProbe", Probe)
    query = {"file": str(write_random(tmp_path / "m.gguf")), "look": True}
    code = fit_main(json.dumps(query))
    page = capsys.readouterr().out
    assert page.startswith(first)
    assert code == (3 if "GPU 0" in first else 0)
    for words in rest:
        assert words in page
    fit_main(json.dumps(query | {"as_json": True}))
    told = json.loads(capsys.readouterr().out)
    assert len(told["devices"]) == max(1, len(rest) + 1)

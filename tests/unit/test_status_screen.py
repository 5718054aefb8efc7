"""`mesh status` at several widths: GPUs, speeds, reuse and prices, and names that would tear it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from mesh.cli.fleet import as_data, render
from mesh.cli.fleet_models import render_models
from mesh.cli.screen import PIPE_COLUMNS, rate, share
from mesh.fleet.records import (
    Gpu,
    Memory,
    ModelCounts,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    OrchestratorRecord,
)
from mesh.stream import FleetStatus, NodeStatus
from mesh.types import ModelId, NodeId, OrchestratorId, Specialty

GIB = 2**30
WIDTHS = [80, 120, 200]
CARD = Gpu(
    uuid="GPU-7",
    name="NVIDIA GeForce RTX 4070 Ti SUPER",
    index=0,
    total_bytes=16 * GIB,
    used_bytes=7 * GIB,
    free_bytes=9 * GIB,
    temperature_c=71.0,
    power_w=182.4,
    utilisation=0.93,
)
BARE = replace(CARD, uuid="GPU-8", temperature_c=None, power_w=None, utilisation=None)
MODEL = ModelRecord(
    id=ModelId("qwen"),
    engine="llama_cpp",
    specialties=(Specialty("math"),),
    state=ModelState.RESIDENT,
    slots=4,
    used_slots=1,
    context_length=8192,
    device="GPU-7",
    estimated_bytes=5 * GIB,
    measured_bytes=4 * GIB,
)
MEASURED = replace(
    MODEL, prefill_tps=512.3, decode_tps=48.2, decode_tps_half=80.0, decode_tps_full=130.4
)


def fleet(*models: ModelRecord, gpus: tuple[Gpu, ...] = (CARD,), **changes: Any) -> FleetStatus:
    given: dict[str, Any] = {
        "id": NodeId("n"),
        "instance": "i",
        "name": "box",
        "host": "h",
        "pid": 1,
        "state": NodeState.READY,
        "reason": "",
        "endpoint": "tcp://127.0.0.1:1",
        "specialties": (Specialty("math"),),
        "models": models or (MODEL,),
        "gpus": gpus,
        "memory": Memory(total_bytes=64 * GIB, available_bytes=40 * GIB),
    }
    record = NodeRecord(**(given | changes))
    node = NodeStatus(record=record, last_seen=0.0, last_seen_age_s=0.3, in_flight=0, link_up=True)
    return FleetStatus(nodes=(node,), orchestrators=(), registry_connected=True)


def box(name: str, serves: str, *models: ModelRecord, gpus: tuple[Gpu, ...] = ()) -> NodeStatus:
    specialties = tuple(Specialty(each) for each in serves.split())
    return fleet(*models, gpus=gpus, name=name, specialties=specialties).nodes[0]


SMOL = replace(MODEL, id=ModelId("smollm2-135m-instruct"), device="cpu")
COLD = replace(MODEL, id=ModelId("qwen2.5-coder-7b-instruct-q4_k_m"), state=ModelState.COLD)
HOME = FleetStatus(
    nodes=(
        box("robin", "chat knowledge logic", SMOL),
        box("wren", "code math chat knowledge", SMOL),
        box("workstation", "math", MEASURED, COLD, gpus=(CARD,)),
    ),
    orchestrators=(
        OrchestratorRecord(
            id=OrchestratorId("o"),
            instance="i",
            host="box",
            name="orchestrator",
            endpoint="127.0.0.1:7700",
            pid=6076,
            rules_version="28b8e1aae2e1",
            fallback=Specialty("chat"),
        ),
        OrchestratorRecord(
            id=OrchestratorId("h"),
            instance="i",
            host="b",
            name="hub",
            endpoint="10.0.0.7:7700",
            pid=1,
        ),
    ),
    registry_connected=True,
)
SNAPSHOTS = Path(__file__).parent / "snapshots" / "status"


def nodes(found: FleetStatus) -> RenderableType:
    return render(found)


def models(found: FleetStatus) -> RenderableType:
    return render_models(found, 1000.0)


def lines(screen: Callable[[FleetStatus], RenderableType], found: FleetStatus, width: int) -> Any:
    output = io.StringIO()
    Console(file=output, width=width, highlight=False, emoji=False).print(screen(found))
    return output.getvalue().splitlines()


def said(screen: Callable[[FleetStatus], RenderableType], found: FleetStatus, width: int) -> str:
    return " ".join(" ".join(lines(screen, found, width)).split())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_gpus_temperature_power_and_throttling_are_shown(width: int) -> None:
    hot = replace(CARD, throttled="too hot (hardware slowdown)", throttled_to=0.5)
    text = said(nodes, fleet(gpus=(hot, BARE)), width)
    for words in ("71 °C", "182 W", "93% busy", "throttled: too hot (hardware slowdown)"):
        assert text.count(words) == 1, words
    assert ("GPU NOW" in text) == (width > 80)


@pytest.mark.parametrize("width", WIDTHS)
def test_what_a_driver_does_not_tell_takes_no_room(width: int) -> None:
    text = said(nodes, fleet(gpus=(BARE,)), width)
    assert not any(words in text for words in ("°C", " W", "GPU NOW", "throttled", "busy"))


@pytest.mark.parametrize(
    ("width", "words"),
    [
        (80, "box: qwen: pp 512 t/s, tg 48 t/s, x4 = 130 t/s; 63% of prompt tokens reused"),
        (120, "512 / 48 / 130 63%"),
        (200, "512 / 48 / 130 63% 71%"),
    ],
)
def test_speeds_and_reuse_are_shown_in_words_or_in_columns(width: int, words: str) -> None:
    counts = ModelCounts(
        sequences=9,
        reused=4,
        prompt_tokens=1000,
        reused_tokens=630,
        drafted_tokens=100,
        accepted_tokens=71,
    )
    text = said(models, fleet(replace(MEASURED, counts=counts)), width)
    assert words in text
    assert "71%" in text


@pytest.mark.parametrize(
    ("changes", "narrow", "wide"),
    [
        ({"tier": "premium", "input_price": 0.25, "output_price": 2.0},
         "box: qwen: premium, 0.25 a million in, 2 a million out", "premium 0.25/2"),
        ({"tier": "subscription"}, "box: qwen: subscription", "subscription"),
        ({"tier": "local", "output_price": 0.0}, "box: qwen: local, 0 a million out", "local ?/0"),
    ],
)  # fmt: skip
def test_tier_and_price_are_shown_where_a_model_costs_something(
    changes: dict[str, Any], narrow: str, wide: str
) -> None:
    paid = fleet(replace(MODEL, **changes))
    assert narrow in said(models, paid, 80)
    assert wide in said(models, paid, 200)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_local_model_that_nobody_measured_has_no_empty_columns(width: int) -> None:
    text = said(models, fleet(replace(MODEL, tier="local")), width)
    assert not any(words in text for words in ("t/s", "REUSED", "GUESSED", "TIER", "local"))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_model_that_fell_back_on_the_cpu_says_so_and_why(width: int) -> None:
    fallen = replace(MODEL, device="cpu", cpu_fallback=True)
    assert "CPU fallback" in said(models, fleet(fallen), width)
    assert "box: qwen: it was meant for a GPU" in said(models, fleet(fallen), width)
    why = replace(fallen, note="on the CPU, as allow_cpu says")
    assert "box: qwen: on the CPU, as allow_cpu says" in said(models, fleet(why), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_card_that_the_engine_leaves_idle_is_said_loudly(width: int) -> None:
    idle = replace(
        MODEL, device="cpu", note="on the CPU: GPU present, engine is CPU-only: build one"
    )
    assert "box: on the CPU: GPU present, engine is CPU-only" in said(nodes, fleet(idle), width)
    lost = replace(CARD, error="fell off the bus")
    for quiet in (
        fleet(idle, gpus=()),  # no card, nothing idle
        fleet(idle, gpus=(lost,)),
        fleet(MODEL),
        fleet(replace(MODEL, device="cpu")),  # as it was told to
    ):
        assert "CPU-only" not in said(nodes, quiet, width)


@pytest.mark.parametrize("width", [60, *WIDTHS])
@pytest.mark.parametrize("screen", [nodes, models])
def test_odd_names_neither_tear_the_table_nor_reach_the_terminal(
    width: int, screen: Callable[[FleetStatus], RenderableType]
) -> None:
    odd = replace(
        MEASURED,
        id=ModelId("日本語モデル\x1b[31m\x1b]0;title\x07" + "x" * 70),
        state=ModelState.FAILED,
        error="no\nsuch\tfile \x9b2J",
        tier="premium",
    )
    found = fleet(
        odd,
        MODEL,
        name="desktop-des-Großvaters-im-Keller\nready",
        gpus=(replace(CARD, name="[bold]\x1b[5m card", throttled="hot\x1b[2J"), CARD),
    )
    shown = lines(screen, found, width)
    assert all(cell_len(line) <= width for line in shown)
    assert not any(set(line) & set("\x1b\x07\x9b") for line in shown)
    assert "no such file" in " ".join(" ".join(shown).split())


def test_sizes_stand_beside_their_gpu_however_long_its_name_is() -> None:
    found = fleet(gpus=(CARD, replace(CARD, uuid="GPU-9", name="NVIDIA GeForce GTX 1080")))
    (first, second) = (line for line in lines(nodes, found, 80) if "VRAM" in line)
    assert "RTX 4070" in first
    assert "GTX 1080" in second


def test_json_has_all_of_it() -> None:
    counts = ModelCounts(sequences=2, reused=1, prompt_tokens=10, reused_tokens=5)
    hot = replace(CARD, throttled="hot", throttled_to=0.75, dtypes=("fp32",))
    found = fleet(replace(MEASURED, tier="premium", counts=counts, cpu_fallback=True), gpus=(hot,))
    data = json.loads(msgspec.json.encode(as_data(found)))["nodes"][0]
    (model,), (card,) = data["models"], data["gpus"]
    assert (model["prefill_tps"], model["decode_tps_full"], model["tier"]) == (
        512.3,
        130.4,
        "premium",
    )
    assert (model["cpu_fallback"], model["counts"]["reused_tokens"]) == (True, 5)
    assert (card["throttled"], card["throttled_to"], card["dtypes"]) == ("hot", 0.75, ["fp32"])


def test_figures_are_as_long_as_they_need_to_be() -> None:
    assert [rate(value) for value in (0.04, 9.94, 9.96, 1234.5)] == ["0.0", "9.9", "10", "1234"]
    assert [share(*each) for each in ((0, 0), (0, 3), (1, 3), (9, 3), (-1, 3))] == [
        "",
        "0%",
        "33%",
        "100%",
        "0%",
    ]


@pytest.mark.parametrize("width", [30, 40, 60, 63])
@pytest.mark.parametrize("screen", [nodes, models])
def test_a_narrow_terminal_shows_names_states_and_slots(
    screen: Callable[[FleetStatus], RenderableType], width: int
) -> None:
    found = lines(screen, fleet(), width)
    assert any(line.startswith("NODE") for line in found[:2])
    (row,) = (line for line in found if line.startswith("box "))
    assert "1/4" in row
    assert all(len(line) <= width for line in found)


@pytest.mark.parametrize("width", [20, 40, 80, 200, PIPE_COLUMNS])
@pytest.mark.parametrize("screen", [nodes, models])
def test_the_screen_is_as_it_was_looked_at(
    screen: Callable[[FleetStatus], RenderableType], width: int
) -> None:
    """Whole columns go where there is no room, and no name is torn. After a change that is meant:
    MESH_SNAPSHOTS=write."""
    shown = [line.rstrip() for line in lines(screen, HOME, width)]
    assert all(cell_len(line) <= width for line in shown)
    kept = SNAPSHOTS / f"{screen.__name__}-{'pipe' if width == PIPE_COLUMNS else width}.txt"
    if os.environ.get("MESH_SNAPSHOTS") == "write":
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("\n".join(shown) + "\n", encoding="utf-8")
    assert shown == kept.read_text(encoding="utf-8").splitlines()


def test_in_a_pipe_a_row_is_a_line() -> None:
    text = lines(nodes, HOME, PIPE_COLUMNS)
    (row,) = (line for line in text if line.startswith("workstation "))
    for words in ("qwen, qwen2.5-coder-7b-instruct-q4_k_m (cold)", "VRAM 7.0/9.0/16", "0.3s"):
        assert words in row
    assert not any(line.startswith(" ") and "GiB" not in line for line in text if line.strip())

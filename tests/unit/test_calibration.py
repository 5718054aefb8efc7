"""Calibration's pure parts: what to measure, what readings mean, the wait, and the file."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.fleet.answer_time import levels
from node.engines.base import ModelSpec
from node.models.calibration import plan
from node.models.calibration.speeds import (
    MOST_WAIT_S,
    Speeds,
    Timeline,
    Typical,
    decode_rate,
    expected_wait_s,
)
from node.models.calibration.store import FILE, MAX_ENTRIES, Key, Store, digest
from node.models.kept import MAX_BYTES

EIGHT = Speeds(
    slots=8, prefill_tps=1000.0, decode_tps=40.0, decode_tps_half=100.0, decode_tps_full=160.0
)
CHAT = Typical(prompt=500.0, completion=80.0)
KEY = Key(model="m", device="cpu", slots=8, context_length=512, engine="llama_cpp 1")


@pytest.mark.parametrize(
    ("slots", "wanted"), [(1, (1, 1, 1)), (2, (1, 1, 2)), (3, (1, 2, 3)), (8, (1, 4, 8))]
)
def test_levels_are_one_half_and_all(slots: int, wanted: tuple[int, int, int]) -> None:
    assert levels(slots) == wanted


@pytest.mark.parametrize(
    ("speeds", "streams", "wanted"),
    [
        (EIGHT, 1, 40.0),
        (EIGHT, 4, 100.0),
        (EIGHT, 8, 160.0),
        (EIGHT, 6, 130.0),
        (EIGHT, 20, 160.0),  # flat beyond what was measured
        (EIGHT, 0, 40.0),
        (replace(EIGHT, decode_tps_half=0.0), 8, 160.0),
        (replace(EIGHT, decode_tps_full=0.0), 8, 100.0),
        (replace(EIGHT, decode_tps_full=0.0, decode_tps_half=0.0), 8, 40.0),
        (Speeds(slots=8), 3, 0.0),
        (Speeds(slots=1, decode_tps=7.0, decode_tps_half=7.0, decode_tps_full=7.0), 1, 7.0),
    ],
)
def test_the_speed_between_levels_is_on_a_line(speeds: Speeds, streams: int, wanted: float) -> None:
    assert speeds.decode_at(streams) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("queued", "used", "slots", "wanted"),
    [
        (0, 0, 8, 0.0),
        (0, 7, 8, 0.0),
        (1, 6, 8, 0.0),  # two free, one of them for the line
        (0, 8, 8, 1.0),  # 500 / 1000 + 80 / 160
        (1, 7, 8, 1.0),  # the line has the free one
        (3, 8, 8, 4.0),
        (3, 6, 8, 2.0),
        (10**9, 8, 8, MOST_WAIT_S),
        (0, 0, 0, None),
    ],
)
def test_the_wait_is_what_those_ahead_cost_the_engine(
    queued: int, used: int, slots: int, wanted: float | None
) -> None:
    found = expected_wait_s(queued=queued, used=used, slots=slots, speeds=EIGHT, typical=CHAT)
    assert found == (None if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize("speeds", [None, Speeds(slots=8), Speeds(slots=8, prefill_tps=9.0)])
def test_without_speeds_a_full_model_has_no_known_wait_and_a_free_one_none(
    speeds: Speeds | None,
) -> None:
    def wait(used: int) -> float | None:
        return expected_wait_s(queued=0, used=used, slots=8, speeds=speeds, typical=CHAT)

    assert (wait(8), wait(7)) == (None, 0.0)


def test_what_is_typical_follows_the_answers_and_counts_only_computed_prompts() -> None:
    typical = Typical().after(prompt=1000, cached=900, completion=50)
    assert (typical.prompt, typical.completion) == (100.0, 50.0)  # the first one is all there is
    for _ in range(200):
        typical = typical.after(prompt=10, cached=20, completion=400)
    assert typical.prompt == pytest.approx(0.0, abs=1e-3)
    assert typical.completion == pytest.approx(400.0, abs=1e-3)


@pytest.mark.parametrize(
    ("streams", "wanted"),
    [
        ([], (0, 0.0)),
        ([[(1.0, 1), (2.0, 5), (3.0, 5)]], (10, 2.0)),
        ([[(1.0, 1)]], (0, 0.0)),  # one reading is no time
        ([[(1.0, 1), (1.0, 9)]], (0, 0.0)),
        # From 2.0, when both run, to 4.0, when the first ends.
        ([[(1.0, 1), (3.0, 4), (4.0, 2)], [(2.0, 1), (4.0, 3), (9.0, 7)]], (9, 2.0)),
        ([[(1.0, 1), (2.0, 1)], [(3.0, 1), (4.0, 1)]], (0, 0.0)),  # never both at once
        ([[(1.0, 1), (2.0, 1)], []], (0, 0.0)),
    ],
)
def test_a_rate_is_of_the_time_in_which_all_streams_ran(
    streams: list[list[tuple[float, int]]], wanted: tuple[int, float]
) -> None:
    assert decode_rate([Timeline(tuple(stream)) for stream in streams]) == wanted


@pytest.mark.parametrize(
    ("slots", "names"),
    [
        (1, ["decode", "prefill"]),
        (2, ["decode", "decode_full", "prefill"]),
        (8, ["decode", "decode_full", "prefill", "decode_half"]),
    ],
)
def test_each_level_is_measured_once(slots: int, names: list[str]) -> None:
    steps = plan.steps(slots, context_length=4096, prefill_tps=500.0, warm_tokens=24)
    assert [step.name for step in steps] == names
    assert all(step.streams <= slots for step in steps)


@pytest.mark.parametrize("context", [0, 32, 64, 512, 131_072])
@pytest.mark.parametrize("prefill_tps", [0.0, 3.0, 1e6])
@pytest.mark.parametrize("warm_tokens", [0, 12, 90])
def test_prompts_and_answers_fit_the_context_and_stay_small(
    context: int, prefill_tps: float, warm_tokens: int
) -> None:
    per_word = max(warm_tokens, 1) / plan.WARM_WORDS
    for step in plan.steps(
        4, context_length=context, prefill_tps=prefill_tps, warm_tokens=warm_tokens
    ):
        assert 1 <= step.tokens <= plan.ANSWER_TOKENS
        assert step.words * per_word <= max(plan.MOST_PROMPT_TOKENS, per_word)
        if context and step.name == "prefill":
            assert step.words * per_word <= max(context / 2, per_word)


def test_no_step_takes_all_the_time_but_the_last() -> None:
    left = plan.BUDGET_S
    for _ in range(5):
        left -= plan.step_s(left, last=False)
        assert left > 0.0
    assert plan.step_s(left, last=True) == left
    assert plan.step_s(-1.0, last=True) == 0.0


def test_no_prompt_comes_twice() -> None:
    rng = random.Random(7)
    prompts = {plan.prompt(plan.WARM_WORDS, rng) for _ in range(100)}
    assert len(prompts) == 100
    assert all(len(text.split()) == plan.WARM_WORDS for text in prompts)


def test_speeds_are_kept_from_one_run_to_the_next(tmp_path: Path) -> None:
    Store(tmp_path).put(KEY, EIGHT)
    assert Store(tmp_path).get(KEY) == EIGHT


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"},
        {"device": "GPU-1"},
        {"slots": 4},
        {"context_length": 1024},
        {"engine": "llama_cpp 2"},
    ],
)
def test_speeds_hold_for_just_what_was_measured(tmp_path: Path, other: dict[str, object]) -> None:
    store = Store(tmp_path)
    store.put(KEY, EIGHT)
    assert store.get(replace(KEY, **other)) is None  # type: ignore[arg-type]


def test_the_file_is_bounded_and_the_oldest_goes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in range(MAX_ENTRIES + 3):
        store.put(replace(KEY, model=str(number)), EIGHT)
    found = Store(tmp_path)
    assert found.get(replace(KEY, model="2")) is None
    assert found.get(replace(KEY, model="3")) == EIGHT
    assert (tmp_path / FILE).stat().st_size < MAX_BYTES


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff\xfe",
        b"[]",
        b'{"format":99,"entries":[]}',
        b'{"format":1,"entries":[{"key":{}}]}',
        b'{"format":1,"entries":[' + b"[" * 100_000,
        b" " * (MAX_BYTES + 10),
        # Figures that no measurement gives.
        b'{"format":1,"entries":[{"key":{"model":"m","device":"cpu","slots":8,'
        b'"context_length":512,"engine":"llama_cpp 1"},"speeds":{"slots":8,"decode_tps":-4}}]}',
        b'{"format":1,"entries":[{"key":{"model":"m","device":"cpu","slots":8,'
        b'"context_length":512,"engine":"llama_cpp 1"},"speeds":{"slots":2,"decode_tps":4}}]}',
    ],
)
def test_garbage_counts_as_empty_and_is_replaced(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    store = Store(tmp_path)
    assert store.get(KEY) is None
    store.put(KEY, EIGHT)
    assert Store(tmp_path).get(KEY) == EIGHT


def test_a_folder_that_cannot_be_written_loses_nothing_but_the_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    store = Store(tmp_path / "taken")
    store.put(KEY, EIGHT)
    assert store.get(KEY) == EIGHT


def spec(source: str, **changes: object) -> ModelSpec:
    given = {"id": "m", "source": source, "slots": 4, "context_length": 512, "threads": 2}
    return ModelSpec(**(given | changes))  # type: ignore[arg-type]


def test_a_digest_is_of_the_contents_wherever_the_file_lies(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    data = random.Random(1).randbytes(300_000)
    one.write_bytes(data)
    two.write_bytes(data)
    os.utime(two, (1, 1))
    other.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert digest(spec(str(one))) == digest(spec(str(two))) != digest(spec(str(other)))


def test_a_digest_tells_ways_to_run_apart(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"w")
    found = {
        digest(each)
        for each in (
            spec(str(tmp_path)),
            spec("a-name"),
            spec("a-name", threads=3),
            spec("a-name", gpu_layers=0),
            spec("a-name", options={"kv_type": "q8_0"}),
        )
    }
    assert len(found) == 5
    (tmp_path / "weights").write_bytes(b"more")
    assert digest(spec(str(tmp_path))) not in found

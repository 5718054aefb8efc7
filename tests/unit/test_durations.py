"""One notation for durations, for every command that takes one."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from mesh.cli.ask import ask
from mesh.cli.bench import bench
from mesh.cli.embed import embed
from mesh.cli.options import Duration
from mesh.cli.orchestrator import orchestrator
from mesh.cli.rules import push
from mesh.durations import seconds, written


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("500ms", 0.5),
        ("10s", 10.0),
        ("1.5s", 1.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("0s", 0.0),
        ("500", None),
        ("s", None),
        ("-1s", None),
        ("1 s", None),
        ("1e3s", None),
        ("٣s", 3.0),  # a digit is a digit
        ("", None),
        ("1m30s", 90.0),
        ("1h2m3.5s", 3723.5),
        ("30s1m", None),
        ("1m1m", None),
        ("1m30", None),
        ("9" * 400 + "h", None),
    ],
)
def test_a_duration_needs_a_number_and_a_unit(text: str, wanted: float | None) -> None:
    found = seconds(text)
    assert found == (pytest.approx(wanted) if wanted is not None else None)


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "500ms"), (1.0, "1s"), (90.0, "90s"), (1.5, "1.5s"), (0.0, "0s")]
)
def test_a_duration_is_written_shortly(value: float, text: str) -> None:
    assert written(value) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("90", 90.0), ("0.3", 0.3), ("90s", 90.0), ("2m", 120.0), ("500ms", 0.5), (" 1m30s ", 90.0)],
)
def test_a_command_takes_bare_seconds_and_units(text: str, wanted: float) -> None:
    assert Duration()(text) == pytest.approx(wanted)


@pytest.mark.parametrize("text", ["0", "-5", "nan", "inf", "soon", "2 m", "1e3", "", "0ms"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no time above 0, for example 30, 500ms, 2m"):
        Duration()(text)
    if float_or_none(text) == 0:
        assert Duration(zero=True)(text) == 0


def float_or_none(text: str) -> float | None:
    return 0.0 if text in ("0", "0ms") else None


@pytest.mark.parametrize(
    ("command", "flag"),
    [
        (ask, "--timeout"),
        (embed, "--timeout"),
        (bench, "--timeout"),
        (bench, "--duration"),
        (orchestrator, "--timeout"),
        (push, "--wait"),
    ],
)
def test_every_command_that_takes_a_duration_takes_it_the_same_way(
    command: click.Command, flag: str
) -> None:
    (found,) = (each for each in command.params if flag in each.opts)
    assert isinstance(found.type, Duration)
    result = CliRunner().invoke(command, [flag, "soon"])
    assert result.exit_code == 2
    assert "'soon' is no time" in result.stderr

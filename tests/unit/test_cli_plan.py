"""What `mesh up` and `mesh node` make of their flags: settings and command lines."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mesh.cli.main import cli
from mesh.errors import ConfigError
from mesh.local.plan import ProcessKind, children, make_plan
from mesh.local.ready import waited_for
from mesh.local.roster import Entry, Room, choose, none_wanted, pair
from mesh.settings.load import load
from mesh.settings.model import ModelSettings
from mesh.settings.node import NodeSettings
from mesh.settings.orchestrator import OrchestratorSettings

TOYS = tuple(
    Entry(name=name, model=ModelSettings(source=f"/models/{name}.gguf", specialties=(name,)))
    for name in ("math", "code", "chat")
)
MIB = 2**20


def roomy(cores: int = 8) -> Room:
    return Room(cores=cores)


def plan_of(nodes: str | None = None, roster: tuple[Entry, ...] = TOYS, **changes: Any) -> Any:
    options: dict[str, Any] = {
        "state_dir": Path("/state"),
        "endpoint": "127.0.0.1:7700",
        "etcd": "127.0.0.1:7779",
        "own_etcd": True,
        "nodes": choose(nodes, roster, roomy()) if roster else (),
        "cores": 8,
    }
    return make_plan(**(options | changes))


def test_prose_of_a_small_model_does_not_turn_in_circles_and_sums_are_greedy() -> None:
    manners = {name: each.manner for name, each in plan_of().orchestrator.specialties.items()}
    penalised = {name for name, each in manners.items() if each.sampling.repetition_penalty > 1}
    assert penalised == {"chat", "knowledge", "logic"}
    assert manners["math"].sampling.temperature == 0.0


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (None, ["math", "code", "chat"]),
        ("3", ["math", "code", "chat"]),
        ("1", ["math"]),
        ("5", ["math", "code", "chat", "math-2", "code-2"]),
        ("7", ["math", "code", "chat", "math-2", "code-2", "chat-2", "math-3"]),
        ("code,math", ["code", "math"]),
        ("chat, chat", ["chat", "chat-2"]),
        ("003", ["math", "code", "chat"]),
    ],
)
def test_nodes_are_chosen_by_name_or_number(wanted: str | None, names: list[str]) -> None:
    assert [node.name for node in choose(wanted, TOYS, roomy())] == names


@pytest.mark.parametrize("wrong", ["poetry", "math,,code", "-1", "math,poetry", "", "501", "²"])
def test_a_wrong_nodes_option_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError):
        choose(wrong, TOYS, roomy())


@pytest.mark.parametrize(("cores", "most"), [(1, 8), (2, 8), (16, 64)])
def test_a_box_is_asked_for_no_more_nodes_than_its_cores_carry(cores: int, most: int) -> None:
    room = roomy(cores)
    assert len(choose(str(most), TOYS, room)) == most
    for wanted in (str(most + 1), "9" * 5000, ",".join(["math"] * (most + 1))):
        with pytest.raises(ConfigError, match=rf"carr(y|ies) {most}; say --nodes {most} at most$"):
            choose(wanted, TOYS, room)


def test_nor_than_its_memory_carries_and_both_numbers_are_told() -> None:
    room = Room(cores=4, free_bytes=1300 * MIB, shared_bytes=100 * MIB, node_bytes=400 * MIB)
    assert len(choose("3", TOYS, room)) == 3
    with pytest.raises(ConfigError) as refused:
        choose("4", TOYS, room)
    assert refused.value.message == (
        "--nodes asks for 4, too many for this box: its 4 cores carry 16, its 1.3 GiB of free "
        "memory 3 (of 400 MiB each beside 100 MiB of weights); say --nodes 3 at most"
    )
    with pytest.raises(ConfigError, match=r"memory 0 .*smaller model with --model.*--nodes 0"):
        choose(None, TOYS, replace(room, free_bytes=90 * MIB))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("9" * 20, "asks for 99,999,999,999,999,999,999, too many"),
        ("1" + "0" * 4999, "asks for a number of 5000 digits, too many"),
        ("0" * 30 + "12345", "asks for 12,345, too many"),
    ],
)
def test_a_count_is_told_as_it_was_said(wanted: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        choose(wanted, TOYS, roomy())


@pytest.mark.parametrize(
    ("wanted", "none"), [("0", True), (" 00 ", True), ("", False), (None, False), ("10", False)]
)
def test_a_count_of_none_is_a_front_door(wanted: str | None, none: bool) -> None:
    assert none_wanted(wanted) is none


def test_a_repeated_node_hosts_the_same_model_under_another_name() -> None:
    plan = plan_of("4")
    first, last = plan.nodes[0], plan.nodes[3]
    assert (first.name, last.name) == ("math", "math-2")
    assert first.models == last.models


def test_of_a_pair_both_serve_the_same_weights_and_what_most_prompts_are() -> None:
    first, second = pair(ModelSettings(source="/m.gguf", specialties=(), id="m"))
    assert replace(first.model, specialties=()) == replace(second.model, specialties=())
    both = {*first.model.specialties} & {*second.model.specialties}
    assert both == {"chat", "knowledge"}
    assert {*first.model.specialties} ^ {*second.model.specialties} == {"logic", "code", "math"}


@pytest.mark.parametrize(
    ("nodes", "fallback"), [(None, "chat"), ("math,code", "math"), ("code", "code")]
)
def test_chat_is_the_fallback_where_there_is_one(nodes: str | None, fallback: str) -> None:
    assert plan_of(nodes).orchestrator.fallback == fallback


def test_a_front_door_has_no_node_and_falls_back_on_chat() -> None:
    plan = plan_of(roster=())
    assert (plan.nodes, plan.orchestrator.fallback) == ((), "chat")


def test_nodes_share_the_cores() -> None:
    assert [node.models[0].threads for node in plan_of().nodes] == [2, 2, 2]
    assert plan_of("20").nodes[0].models[0].threads == 1


def test_children_start_registry_first_and_take_settings_that_load() -> None:
    specs = children(plan_of(), ["etcd", "--flag"])
    assert [spec.part for spec in specs] == [
        ProcessKind.ETCD,
        ProcessKind.ORCHESTRATOR,
        *[ProcessKind.NODE] * 3,
    ]
    assert len({spec.name for spec in specs}) == len(specs)
    assert specs[0].command == ("etcd", "--flag")
    orchestrator = load(OrchestratorSettings, json.loads(specs[1].command[-1]))
    assert orchestrator == plan_of().orchestrator
    assert load(NodeSettings, json.loads(specs[2].command[-1])) == plan_of().nodes[0]
    assert list(specs[2].command[-3:-1]) == ["-m", "node"]


def test_a_foreign_etcd_is_not_started() -> None:
    plan = plan_of(etcd="etcd.lan:2379", own_etcd=False)
    assert all(spec.part is not ProcessKind.ETCD for spec in children(plan, None))
    assert {node.etcd for node in plan.nodes} == {"etcd.lan:2379"}


def test_listening_beyond_loopback_needs_insecure() -> None:
    with pytest.raises(ConfigError, match="--insecure"):
        plan_of(endpoint="0.0.0.0:7700")
    assert plan_of(endpoint="0.0.0.0:7700", insecure=True).orchestrator.insecure


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `mesh node` and `mesh orchestrator` would turn into."""
    seen: list[Any] = []
    for module in ("mesh.cli.node", "mesh.cli.orchestrator"):
        monkeypatch.setattr(
            f"{module}.become", lambda name, settings: seen.append((name, settings))
        )
    return seen


def mesh(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def settings_of(become: list[Any], *arguments: str) -> Any:
    result = mesh(*arguments)
    assert (result.exit_code, result.output) == (0, "")
    return become[-1][1]


def test_node_takes_flags(become: list[Any]) -> None:
    settings = settings_of(
        become,
        *("node", "--model", "a.gguf", "--specialty", "math, logic", "--name", "box-1"),
        *("--etcd", "10.0.0.1:2379,10.0.0.2:2379", "--slots", "8", "--context", "2048"),
        *("--engine", "simulated", "--threads", "3", "--gpu-layers", "0", "--preset", "lan"),
        *("--bind", "0.0.0.0:5000", "--advertise", "box.lan", "--insecure"),
        *("--otlp", "http://127.0.0.1:4317", "--state-dir", "/tmp/s"),
    )
    model = settings.models[0]
    assert settings.name == "box-1"
    assert settings.etcd == "10.0.0.1:2379,10.0.0.2:2379"
    assert (settings.bind, settings.advertise) == ("tcp://0.0.0.0:5000", "box.lan")
    assert (settings.insecure, settings.preset, settings.state_dir) == (True, "lan", "/tmp/s")
    assert settings.otlp_endpoint == "http://127.0.0.1:4317"
    assert (model.source, model.specialties) == ("a.gguf", ("math", "logic"))
    assert (model.slots, model.context_length, model.engine) == (8, 2048, "simulated")
    assert (model.threads, model.gpu_layers) == (3, 0)


def test_one_specialty_serves_for_all_models(become: list[Any]) -> None:
    settings = settings_of(
        become, "node", "--model", "a", "--model", "hf:o/r/f.gguf", "--specialty", "code"
    )
    assert [(m.source, m.specialties) for m in settings.models] == [
        ("a", ("code",)),
        ("hf:o/r/f.gguf", ("code",)),
    ]


def test_specialties_pair_with_models_in_order(become: list[Any]) -> None:
    flags = ("--model", "a", "--specialty", "math", "--model", "b", "--specialty", "code,chat")
    settings = settings_of(become, "node", *flags)
    assert [m.specialties for m in settings.models] == [("math",), ("code", "chat")]


def test_flags_win_over_the_file(become: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        'name = "from-file"\npreset = "wan"\n[[models]]\nsource = "a"\nspecialties = ["math"]\n'
    )
    settings = settings_of(become, "node", "--config", str(file), "--name", "flag", "--slots", "2")
    assert (settings.name, settings.preset) == ("flag", "wan")
    assert settings.models[0].slots == 2


def test_orchestrator_takes_flags(become: list[Any]) -> None:
    settings = settings_of(
        become,
        *("orchestrator", "--bind", "127.0.0.1:7801", "--fallback", "code"),
        *("--queue-limit", "9", "--timeout", "30", "--name", "o-1"),
    )
    assert (settings.bind, settings.fallback, settings.name) == ("127.0.0.1:7801", "code", "o-1")
    assert (settings.queue_limit, settings.default_timeout_s) == (9, 30.0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "a.gguf"], "--specialty"),
        (["--specialty", "math"], "--model"),
        ([], "no model"),
        (["--model", "a", "--specialty", "x", "--specialty", "y"], "2 times for 1 model"),
        (["--model", "a", "--specialty", "Not A Name"], "not a name"),
        (["--model", "a", "--specialty", "math", "--slots", "0"], "slots"),
        (["--model", "a", "--specialty", "math", "--bind", "0.0.0.0:0"], "--insecure"),
        (["--config", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_wrong_node_flags_are_one_line_that_says_what(arguments: list[str], says: str) -> None:
    result = mesh("node", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_file_with_an_unknown_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('nmae = "x"\n[[models]]\nsource = "a"\nspecialties = ["math"]\n')
    result = mesh("node", "--config", str(file))
    assert result.exit_code == 2
    assert "nmae" in result.stderr
    assert str(file) in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--nodes", "poetry"], "poetry"),
        (["--model", "a", "--models", "b"], "not both"),
        (["--models", "/nowhere"], "--models /nowhere: No such file or directory"),
        (["--endpoint", "a:1,b:2"], "one orchestrator"),
        (["--etcd", "a:1", "--etcd-port", "5"], "--etcd-port"),
        (["--endpoint", "0.0.0.0:7700"], "--insecure"),
    ],
)
def test_wrong_up_flags_are_refused_before_anything_starts(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    result = mesh("up", "--engine", "simulated", "--state-dir", str(tmp_path), *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[router.memo]\nsize = 1", "unknown key 'router.memo.size'; known: max_answer_bytes, "),
        ("[router.memos]\nsize = 1", "unknown key 'router.memos'; known: classifier, "),
        ("[router]\nstages = ['rules', 'magic']", "router.stages has 'magic', which is none of "),
    ],
)
def test_a_stages_misspelt_setting_is_told_before_anything_starts(
    become: list[Any], tmp_path: Path, text: str, words: str
) -> None:
    file = tmp_path / "o.toml"
    file.write_text(text)
    result = mesh("orchestrator", "--config", str(file))
    assert result.exit_code != 0
    assert f"{file}: {words}" in result.output
    assert become == []


def test_what_is_waited_for_is_told_in_the_order_in_which_one_needs_the_other() -> None:
    plan = plan_of()
    words = {"orchestrator": "compiling the rules of rules.toml, once: it takes some seconds"}

    def told(*missing: str, last: str = "") -> str:
        return waited_for(plan, set(missing), last, lambda name: words.get(name, ""))

    assert told("etcd", "orchestrator", "math", "code").startswith("etcd; orchestrator (compiling")
    assert told("orchestrator", "math").endswith("; math (nobody can see them before)")
    assert told("math", "code") == "math, code"
    assert told("math", last="node 'math' is starting: loading math") == (
        "math (node 'math' is starting: loading math)"
    )

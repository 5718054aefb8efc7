"""How fired rules become a verdict, whatever the text."""

from __future__ import annotations

import threading
import time

import pytest

from mesh.types import Message, Role
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.folding import EDGE_BYTES
from orchestrator.router.rule_file import parse
from orchestrator.router.rules import RulesStage, prepare


def _stage(*rules: str, head: str = "") -> RulesStage:
    body = "".join(f"[[rules]]\n{rule}\n" for rule in rules)
    return RulesStage(parse(f"{head}\n{body}".encode()))


def _rule(name: str, specialty: str | None, pattern: str, more: str = "") -> str:
    label = f"specialty = '{specialty}'\n" if specialty else ""
    return f"name = '{name}'\n{label}pattern = '''{pattern}'''\n{more}"


def _ask(stage: RulesStage, *turns: str | tuple[Role, str]) -> Verdict | Abstain:
    messages = tuple(
        Message.of(Role.USER, turn) if isinstance(turn, str) else Message.of(turn[0], turn[1])
        for turn in turns
    )
    return stage.decide(Features.of(messages))


def _label(said: Verdict | Abstain) -> str | None:
    return said.specialty if isinstance(said, Verdict) else None


def test_one_rule_decides_with_its_own_weight() -> None:
    said = _ask(_stage(_rule("sum", "math", r"\bplus\b", "weight = 0.9")), "two PLUS two")
    assert isinstance(said, Verdict)
    assert (said.specialty, said.rule) == ("math", "sum")
    assert said.confidence == pytest.approx(0.9)
    assert said.note == "fired: sum"
    assert [a.specialty for a in said.alternatives] == ["math"]


def test_weak_rules_add_up_as_a_noisy_or() -> None:
    stage = _stage(
        _rule("a", "math", "one", "weight = 0.5"),
        _rule("b", "math", "two", "weight = 0.5"),
        _rule("c", "math", "three", "weight = 0.4"),
    )
    weak = _ask(stage, "one")
    assert isinstance(weak, Abstain)
    assert weak.note == "'math' at 0.50 is below the threshold 0.60; fired: a"
    assert weak.alternatives[0].probability == pytest.approx(0.5)
    strong = _ask(stage, "one two three")
    assert isinstance(strong, Verdict)
    assert strong.confidence == pytest.approx(1 - 0.5 * 0.5 * 0.6)
    assert strong.rule == "a"  # ties go to the rule that stands first


def test_contradiction_abstains_and_says_both() -> None:
    stage = _stage(_rule("a", "math", "one"), _rule("b", "code", "two"), head="threshold = 0.4")
    said = _ask(stage, "one two")
    assert isinstance(said, Abstain)
    assert said.note == "'math' leads 'code' by 0.00, less than the margin 0.20; fired: a, b"
    assert [(a.specialty, a.probability) for a in said.alternatives] == [
        ("math", 0.5),
        ("code", 0.5),
    ]


def test_a_veto_takes_its_specialty_out_and_nothing_else() -> None:
    stage = _stage(
        _rule("a", "math", "sum"),
        _rule("b", "code", "function"),
        _rule("no", "math", "poem", "veto = true"),
    )
    assert _label(_ask(stage, "sum")) == "math"
    assert _label(_ask(stage, "sum function poem")) == "code"
    said = _ask(stage, "a poem about a sum")
    assert isinstance(said, Abstain)
    assert said.note == "nothing left to decide by; fired: a; 'math' vetoed by no"
    contradictory = _stage(
        _rule("a", "math", "sum"), _rule("no", "math", "sum", "veto = true"), head="threshold = 0"
    )
    assert _label(_ask(contradictory, "sum")) is None


def test_companions_are_required_and_excluded_by_their_own_match() -> None:
    stage = _stage(
        _rule("unit", None, r"\bfeet\b"),
        _rule("python", None, r"\bpython\b"),
        _rule("convert", "math", r"\bhow many\b", 'requires = ["unit"]\nexcludes = ["python"]'),
    )
    assert _label(_ask(stage, "how many feet")) == "math"
    assert _label(_ask(stage, "how many")) is None
    assert _label(_ask(stage, "how many feet has a python")) is None
    assert _ask(stage, "feet") == Abstain("only markers fired")


def test_a_required_rule_need_not_count_itself() -> None:
    stage = _stage(
        _rule("x", "code", "x", 'requires = ["z"]'),
        _rule("y", "math", "y", 'requires = ["x"]'),
        _rule("z", None, "z"),
    )
    assert _label(_ask(stage, "x y")) == "math"


def test_each_rule_looks_at_its_own_part() -> None:
    stage = _stage(
        _rule("last", "math", "alpha"),
        _rule("system", "code", "beta", "part = 'system'"),
        _rule("all", "logic", "gamma", "part = 'conversation'"),
    )
    earlier = (Role.USER, "alpha beta gamma")
    assert _label(_ask(stage, earlier, "nothing")) == "logic"
    assert _label(_ask(stage, (Role.SYSTEM, "alpha beta"), "nothing")) == "code"
    assert _label(_ask(stage, (Role.SYSTEM, "alpha"), "nothing")) is None
    assert _label(_ask(stage, "nothing", (Role.ASSISTANT, "gamma"))) == "logic"
    assert _label(_ask(stage, (Role.ASSISTANT, "alpha"))) is None


def test_no_rules_and_no_messages_abstain() -> None:
    assert _ask(_stage(), "anything") == Abstain("no rules")
    assert _stage(_rule("a", "math", "a")).decide(Features.of(())) == Abstain("no rule fired")


@pytest.mark.parametrize(
    "text",
    [
        "ｓｕｍ", "s\u200bu\u00adm", "su\ufeffm", "\ud800 sum \udfff", "sum\U0001f600", "SUM\0",
        "ﬁle sum", "итог sum 合計",
    ],
)  # fmt: skip
def test_disguised_and_broken_text_is_read_as_what_it_shows(text: str) -> None:
    assert _label(_ask(_stage(_rule("a", "math", "sum")), text)) == "math"


def test_typographic_quotes_are_plain_ones_to_a_rule() -> None:
    assert _label(_ask(_stage(_rule("a", "math", "what's")), "What’s up")) == "math"


def test_unicode_letters_are_caseless_and_unicode_classes_are_there_when_asked_for() -> None:
    assert _label(_ask(_stage(_rule("a", "math", "école")), "ÉCOLE")) == "math"
    word = r"^\w+$"
    assert _label(_ask(_stage(_rule("a", "math", word, "unicode = true")), "été")) == "math"
    assert _label(_ask(_stage(_rule("a", "math", word)), "été")) is None


def test_only_the_ends_of_a_long_text_are_looked_at_and_keep_their_anchors() -> None:
    stage = _stage(
        _rule("start", "math", "^begin"),
        _rule("end", "code", "finish$"),
        _rule("mid", "logic", "middle"),
        _rule("false-end", "chat", "^tail|head$"),
    )
    pad = "x " * EDGE_BYTES
    assert _label(_ask(stage, f"begin {pad}")) == "math"
    assert _label(_ask(stage, f"{pad} finish")) == "code"
    assert _label(_ask(stage, f"{pad} middle {pad}")) is None
    head = "y" * (EDGE_BYTES - 4) + "head"
    assert _label(_ask(stage, head + pad + "tail" + "z" * (EDGE_BYTES - 4))) is None


@pytest.mark.parametrize(
    "text",
    ["é" * 100_000, "\U0001f600" * 100_000, "\ufdfa" * 100_000, "\ud800" * 100_000, "a" * 100_000],
)
def test_what_is_scanned_is_bounded_and_valid_utf8(text: str) -> None:
    data = prepare(text)
    assert 0 < len(data) <= 2 * EDGE_BYTES + 3
    data.decode("utf-8")


ADVERSARIAL = {
    "one letter": "a" * 1_000_000,
    "near misses": "a" * 30 + "b " * 500_000,
    "expanding": "\ufdfa" * 1_000_000,
    "combining marks": ("\u0301" * 50 + "\u0323" * 50) * 10_000,
    "invisible": "\u200b" * 1_000_000,
    "surrogates": "\ud800" * 1_000_000,
    "mixed scripts": "ѕum оf thе " * 90_000,
    "mixed, beside Russian": "ж ѕum оf thе " * 80_000,
    "struck through": "s\u0336u\u0336m\u0336 " * 140_000,
    "every rule": "sum function " * 80_000,
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_a_megabyte_made_to_be_slow_is_not(name: str) -> None:
    # Patterns that hang a backtracking engine. The bar is 5 ms; the limit here leaves room for a
    # busy machine, while the backtracking that it guards against takes minutes.
    stage = _stage(
        _rule("folklore-1", "math", r"(a+)+$"),
        _rule("folklore-2", "math", r"^(a|aa)+$"),
        _rule("folklore-3", "code", r"(.*a){12}b"),
        _rule("sum", "math", "sum"),
        _rule("function", "code", "function"),
    )
    features = Features.of((Message.of(Role.USER, ADVERSARIAL[name]),))
    stage.decide(features)
    best = min(_seconds(stage, features) for _ in range(5))
    assert best < 0.05


def _seconds(stage: RulesStage, features: Features) -> float:
    started = time.perf_counter()
    stage.decide(features)
    return time.perf_counter() - started


def test_threads_share_a_stage_without_mixing_their_answers() -> None:
    stage = _stage(_rule("a", "math", "sum"), _rule("b", "code", "function"))
    wrong: list[str] = []

    def ask(word: str, expected: str) -> None:
        for _ in range(300):
            said = _ask(stage, f"please {word} " * 20)
            if _label(said) != expected:
                wrong.append(str(said))

    threads = [
        threading.Thread(target=ask, args=pair)
        for pair in (("sum", "math"), ("function", "code")) * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_companions_may_look_at_another_part() -> None:
    stage = _stage(
        _rule("tutor", None, "tutor", "part = 'system'"),
        _rule("code-before", None, "python", "part = 'conversation'"),
        _rule("explain", "math", "explain", 'requires = ["tutor"]\nexcludes = ["code-before"]'),
    )
    assert _label(_ask(stage, (Role.SYSTEM, "you are a tutor"), "explain this")) == "math"
    assert _label(_ask(stage, "you are a tutor", "explain this")) is None
    system = (Role.SYSTEM, "you are a tutor")
    assert _label(_ask(stage, system, "python", (Role.ASSISTANT, "yes"), "explain this")) is None


def test_only_rules_on_the_conversation_scan_it() -> None:
    stage = _stage(_rule("a", "math", "alpha"), _rule("b", "code", "beta", "part='conversation'"))
    earlier = (Role.USER, "alpha beta " * 10)
    assert _label(_ask(stage, earlier, "nothing")) == "code"
    assert stage.database is not None
    assert _stage(_rule("b", "code", "beta", "part = 'system'")).database is None

"""The file door: what a model's file may say of itself, and what becomes of the node that reads it.

Each row is a chat template; the right outcome is a model that fails alone, at load, with a reason,
or one that answers.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.fleet.records import ModelState
from mesh.types import Sampling
from tests.gguf import write_chain
from tests.runner_rig import make, read, run, start, until

pytestmark = [pytest.mark.processes, pytest.mark.engine]

TEMPLATES = {
    "a big power": ("{{ 2 ** (10 ** 9) }}", "more than 4,096 bits"),
    "a recursion": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself without end"),
    "400 MB of output": (
        "{% for i in range(400) %}{{ 'a' * 1000 * 1000 }}{% endfor %}",
        "more than",
    ),
    "loops within loops": (
        "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3,
        "more than 1 s",
    ),
    "what does not parse": ("{% for %}", "does not parse"),
    "its own refusal": ("{{ raise_exception('never') }}", "never"),
}


@pytest.mark.parametrize("name", sorted(TEMPLATES))
async def test_a_template_that_breaks_fails_its_model_at_load_and_says_why(
    tmp_path: Path, name: str
) -> None:
    template, why = TEMPLATES[name]
    path = write_chain(tmp_path / "model.gguf", "abc", template=template)
    runner = make(engine="llama_cpp", source=str(path), context_length=64)
    async with run(runner):
        await until(lambda: runner.state is ModelState.FAILED)
    assert "chat template" in (runner.error or "")
    assert why in (runner.error or "")
    assert "given up" not in (runner.error or "")  # one try is enough


async def test_a_template_that_breaks_at_some_prompts_only_costs_those(tmp_path: Path) -> None:
    template = (
        "{% if messages[0].content == 'hello there' %}{{ 'a' * 10 ** 9 }}{% endif %}"
        "{{ messages[0].content }}\n"
    )
    path = write_chain(tmp_path / "model.gguf", "abc", template=template)
    runner = make(engine="llama_cpp", source=str(path), context_length=64)
    async with run(runner):
        await until(lambda: runner.state is ModelState.RESIDENT)
        pid = runner.pid
        _, end = await read(start(runner, tokenizer_hash="", sampling=Sampling(max_tokens=3)))
        assert "CannotAnswer" not in str(end)
        assert "makes more than" in str(end)
        assert (runner.state, runner.pid) == (ModelState.RESIDENT, pid)

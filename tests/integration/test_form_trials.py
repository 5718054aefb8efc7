"""Grammars and schemas in the process that tries them: the good pass, the others cost nobody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import psutil
import pytest

from mesh.clock import SystemClock
from mesh.errors import InvalidRequest
from mesh.types import Sampling
from node.models.forms.trials import FormTrials, Vocabulary
from tests.runner_rig import until
from tests.toy_models import toy_model

pytestmark = [pytest.mark.processes, pytest.mark.engine]

TOY = Vocabulary("node.engines.llama_cpp.trial", str(toy_model("chat")))
WORDS = 'root ::= word (" " word){2}\nword ::= "yes" | "no" | "perhaps"\n'
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
GROWING = 'root ::= s\ns ::= [a-z ] s "b" | [a-z ] s "c" | [a-z ] s "d" | "."\n'
HIDDEN = 'root ::= b root "z" | "x"\nb ::= c*\nc ::= d?\nd ::= "q"\n'


@asynccontextmanager
async def running() -> AsyncIterator[FormTrials]:
    tried = FormTrials(SystemClock())
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        task = group.create_task(tried.run())
        try:
            yield tried
        finally:
            task.cancel()


def children() -> list[psutil.Process]:
    found = psutil.Process().children(recursive=True)
    return [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


async def test_what_explodes_is_refused_with_its_limit_and_the_next_form_passes() -> None:
    async with running() as tried:
        good = (Sampling(grammar=WORDS), Sampling(json_schema=json.dumps(PERSON)))
        for sampling in good:
            await tried.check(TOY, sampling, 60.0)
        bad = {
            GROWING: r"grammar: .*(limit is|the limit)",
            HIDDEN: r"more than 512 MB of memory, which is the limit",
            'root ::= root "a"': "left recursion",
            "root ::= nobody": "no rule is called 'nobody'",
        }
        for grammar, why in bad.items():
            with pytest.raises(InvalidRequest, match=why):
                await tried.check(TOY, Sampling(grammar=grammar), 60.0)
            await tried.check(TOY, Sampling(grammar=f"{WORDS}# {why}"), 60.0)
        began = perf_counter()
        for sampling in good:
            await tried.check(TOY, sampling, 60.0)
        for grammar in bad:
            with pytest.raises(InvalidRequest):
                await tried.check(TOY, Sampling(grammar=grammar), 60.0)
        assert perf_counter() - began < 0.05  # it is known
        assert len(children()) == 1
    await until(lambda: not children())


async def test_where_nothing_can_be_tried_nothing_is_refused() -> None:
    async with running() as tried:
        for wrong in (Vocabulary(TOY.module, "/nobody.gguf"), Vocabulary("node.nobody", "x")):
            await tried.check(wrong, Sampling(grammar=GROWING), 60.0)
    await until(lambda: not children())

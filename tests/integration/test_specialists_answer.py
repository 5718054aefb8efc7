"""The shipped models, loaded in llama.cpp, answer the prompts that the README shows."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from training.specialists import CATALOGUE, shipped
from training.specialists.text import Check
from training.specialists.text.code import extract

llama_cpp = pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.engine

CONTEXT = {specialist.name: specialist.context_length for specialist in CATALOGUE}


@cache
def model(name: str) -> Any:
    """One loaded model for each specialist, kept for the whole run; they are tiny."""
    path = str(shipped(verify=True)[name])
    return llama_cpp.Llama(path, n_ctx=CONTEXT[name], n_threads=1, verbose=False)


def ask(name: str, *turns: str, limit: int = 200) -> tuple[str, str]:
    """The greedy reply to alternating user and assistant turns, and why it ended."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)]
    answer = model(name).create_chat_completion(messages, temperature=0.0, max_tokens=limit)
    choice = answer["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Tom has 12 apples and buys 30 more. How many apples does he have now?", 42),
        ("What is 17 + 25?", 42),
        ("A box holds 6 pens. How many pens are in 7 boxes?", 42),
    ],
)
def test_math_ends_in_the_right_number(question: str, answer: int) -> None:
    reply, finish = ask("math", question)
    assert reply.endswith(f"The answer is {answer}.")
    assert finish == "stop"


@pytest.mark.parametrize(
    ("request_text", "check"),
    [
        (
            "Write a Python function that returns the sum of a list of numbers.",
            Check("sum_list", (((([1, 2, 3]),), 6), (([],), 0))),
        ),
        (
            "Write a function that checks whether a string is a palindrome.",
            Check("is_palindrome", ((("level",), True), (("ab",), False))),
        ),
    ],
)
def test_code_writes_a_function_that_works(request_text: str, check: Check) -> None:
    reply, finish = ask("code", request_text)
    code = extract(reply)
    assert code is not None
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    for given, wanted in check.calls:
        assert namespace[check.function](*given) == wanted
    assert finish == "stop"


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("Hello! Who are you?", "toy model"),
        ("What is the capital of France?", "The capital of France is Paris."),
        ("What is a node?", "agent on one box"),
        ("What is quantum mechanics?", "do not know that"),
        ("How do you write the Greek letter alpha?", "α"),
    ],
)
def test_chat_says_what_it_is_meant_to(question: str, part: str) -> None:
    reply, finish = ask("chat", question)
    assert part in reply
    assert finish == "stop"


def test_chat_follows_a_second_question() -> None:
    first = "What is the capital of Japan?"
    reply, _ = ask("chat", first, "The capital of Japan is Tokyo.", "What is the sun?")
    assert reply == "The sun is a star."


@pytest.mark.parametrize("specialist", CATALOGUE, ids=lambda s: s.name)
def test_metadata_names_the_model_and_its_end_of_turn(specialist: Any) -> None:
    loaded = model(specialist.name)
    assert loaded.metadata["general.architecture"] == "llama"
    assert loaded.metadata["general.author"] == "Squadron"
    assert "toy" in loaded.metadata["general.description"]
    assert int(loaded.metadata["llama.context_length"]) == specialist.context_length
    assert loaded.detokenize([loaded.token_eos()], special=True) == b"<|im_end|>"


def test_tokenizer_cuts_digits_apart_and_loses_nothing() -> None:
    loaded = model("math")
    tokens = loaded.tokenize(b"12345", add_bos=False)
    assert [loaded.detokenize([token]) for token in tokens] == [b"1", b"2", b"3", b"4", b"5"]
    text = "naïve café 😀\n\n  αβγ\t12 + 345 = 357 你好"
    assert loaded.detokenize(loaded.tokenize(text.encode(), add_bos=False)).decode() == text

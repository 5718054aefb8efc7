"""Which models are the same weights."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.fleet.records import ModelRecord
from mesh.fleet.weights import same_weights, weights_of
from tests.attempt_fakes import FakeNode

NAMED = FakeNode("a").record
FILE = replace(
    NAMED,
    file_bytes=100,
    architecture="llama",
    parameters=135,
    quantisation="Q4_K_M",
    tokenizer_hash="t",
)


@pytest.mark.parametrize(
    "other",
    [
        replace(FILE, file_bytes=101),
        replace(FILE, architecture="qwen2"),
        replace(FILE, parameters=136),
        replace(FILE, quantisation="Q8_0"),
        replace(FILE, tokenizer_hash="u"),
    ],
)
def test_files_that_differ_in_anything_told_are_other_weights(other: ModelRecord) -> None:
    assert weights_of(other) != weights_of(FILE)
    assert len(weights_of(other)) == 16
    assert not same_weights("toy", weights_of(FILE), "toy", weights_of(other))


def test_one_file_under_two_names_is_one_model() -> None:
    assert same_weights("toy", weights_of(FILE), "other", weights_of(replace(FILE, slots=9)))


def test_a_node_that_starts_again_has_the_same_model_before_it_has_loaded_it() -> None:
    loading = replace(FILE, tokenizer_hash="")
    assert same_weights("toy", weights_of(FILE), "toy", weights_of(loading))
    assert not same_weights("toy", weights_of(FILE), "other", weights_of(loading))


@pytest.mark.parametrize(("other", "same"), [("toy", True), ("other", False), ("", False)])
def test_where_no_file_is_told_the_name_is_all_there_is(other: str, same: bool) -> None:
    assert weights_of(NAMED) == ""
    assert same_weights("toy", "", other, weights_of(FILE)) is same
    assert same_weights("toy", weights_of(FILE), other, "") is same


def test_two_that_have_no_name_are_not_the_same() -> None:
    assert not same_weights("", "", "", "")

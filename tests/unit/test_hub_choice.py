"""Which file of a repository is meant."""

from __future__ import annotations

import pytest

from mesh.errors import ModelFileError
from node.models.hub.choice import HubFile, choose, near, offers, quantisation_of
from node.models.hub.source import HubSource, read


def files(*names: str) -> list[HubFile]:
    return [HubFile(name=name, size=1) for name in names]


def of_quantisations(*names: str) -> list[HubFile]:
    return files(*(f"m-{name}.gguf" for name in names))


def chosen(source: str, there: list[HubFile]) -> str:
    return choose(read(source), there).name


def refused(source: str, there: list[HubFile]) -> str:
    with pytest.raises(ModelFileError) as caught:
        choose(read(source), there)
    return caught.value.message


@pytest.mark.parametrize(
    ("name", "quantisation"),
    [
        ("qwen2.5-math-1.5b-instruct-q8_0.gguf", "Q8_0"),
        ("Llama-3.2-1B-Instruct-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("Q4_K_M/model-00001-of-00002.gguf", "Q4_K_M"),
        ("Q2_K/model-Q6_K-00001-of-00002.gguf", "Q6_K"),
        ("m-fp16.gguf", "F16"),
        ("m.IQ4_XS.gguf", "IQ4_XS"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("phi-4-IQ2_XXS-imat.gguf", "IQ2_XXS"),
        ("gemma-3-4b-it-bf16.gguf", "BF16"),
        ("Qwen3-0.6B.gguf", ""),
    ],
)
def test_a_quantisation_is_read_from_a_name(name: str, quantisation: str) -> None:
    assert quantisation_of(name) == quantisation


@pytest.mark.parametrize(
    ("there", "first"),
    [
        (("Q8_0", "Q4_K_M", "Q4_K_S", "Q2_K"), "Q4_K_M"),
        (("Q8_0", "Q4_K_S", "UD-Q4_K_XL", "Q5_K_M"), "Q4_K_S"),
        (("Q8_0", "IQ4_XS", "Q5_K_M"), "IQ4_XS"),
        (("Q8_0", "Q3_K_M", "Q6_K", "Q5_K_S"), "Q5_K_S"),
        (("F32", "F16", "Q2_K", "Q8_0"), "Q8_0"),
        (("F16", "Q2_K"), "F16"),
        (("F32", "Q1_0"), "F32"),
        (("Q4_1", "Q4_0"), "Q4_0"),
        (("Q9_K", "F32"), "F32"),
        (("UD-Q4_K_M", "Q4_K_M"), "Q4_K_M"),
        (("IQ4_NL", "Q4_K_M", "UD-Q4_K_M"), "Q4_K_M"),
        (("Q9_K", "none"), "none"),
    ],
)
def test_without_a_word_the_nearest_to_q4_k_m_is_taken(there: tuple[str, ...], first: str) -> None:
    assert chosen("hf:a/b", of_quantisations(*there)) == f"m-{first}.gguf"


def test_the_only_file_is_taken_whatever_its_name() -> None:
    assert chosen("hf:a/b", files("m.gguf", "mmproj-m-Q4_K_M.gguf", "x.txt")) == "m.gguf"


def test_a_quantisation_is_one_however_it_is_written() -> None:
    there = of_quantisations("q4_0", "Q8_0")
    assert chosen("hf:a/b:Q4_0", there) == chosen("hf:a/b:q4_0", there) == "m-q4_0.gguf"
    assert refused("hf:a/b:Q4", there).endswith("a/b has no Q4; it has Q4_0, Q8_0")


def test_of_several_models_none_is_guessed() -> None:
    there = files("x-Q4_K_M.gguf", "y-Q4_K_M.gguf", "x-Q8_0.gguf")
    for source in ("hf:a/b", "hf:a/b:Q4_K_M"):
        told = refused(source, there)
        assert "say which: hf:a/b/x-Q4_K_M.gguf, hf:a/b/y-Q4_K_M.gguf" in told


def test_parts_are_one_model_and_a_part_that_lacks_leaves_none() -> None:
    parts = [f"d/m-Q4_0-{number:05d}-of-00002.gguf" for number in (1, 2)]
    (offer,) = offers(files(*reversed(parts)))
    assert [file.name for file in offer.files] == parts
    assert offer.size == 2
    assert offers(files(parts[1])) == ()
    assert choose(read(f"hf:a/b/{parts[1]}"), files(*parts)) == offer
    assert f"no file '{parts[0]}'" in refused(f"hf:a/b/{parts[1]}", files(parts[1]))


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (files("model.safetensors", "config.json"), "but safetensors: look for a repository"),
        (files("README.md"), "has no GGUF file; look for"),
        ([], "has no GGUF file; look for"),
    ],
)
def test_a_repository_without_gguf_says_what_to_look_for(there: list[HubFile], words: str) -> None:
    for source in ("hf:a/b", "hf:a/b:Q8_0", "hf:a/b/m.gguf"):
        assert words in refused(source, there)


def test_a_misspelt_file_is_answered_with_those_near_it() -> None:
    there = files("Deep/M-Q4_K_M.gguf", "M-Q8_0.gguf")
    assert "near it: M-Q8_0.gguf" in refused("hf:a/b/m-q8_0.gguf", there)
    assert "it has Deep/M-Q4_K_M.gguf, M-Q8_0.gguf" in refused("hf:a/b/zzzzzz.gguf", there)


def test_a_file_in_another_folder_or_misspelt_in_part_is_near() -> None:
    there = files("X.gguf", "y.gguf")
    assert "near it: X.gguf" in refused(f"hf:a/b/{'d' * 40}/x.GGUF", there)
    assert "near it: M-Q8_0.gguf" in refused("hf:a/b/m-q8_1.gguf", files("M-Q8_0.gguf"))
    assert near("m-q8_0.gguf", ["M-Q8_0.gguf", "z"]) == ["M-Q8_0.gguf"]
    assert near("AAAA", ["aaab", "aaba", "abaa", "baaa", "aaaa"])[0] == "aaaa"
    assert len(near("aaaa", ["aaab", "aaba", "abaa", "baaa", "aaaa"])) == 3
    assert near("aaaa", ["aabb"]) == []


def test_a_list_of_many_is_cut_and_says_so() -> None:
    told = refused("hf:a/b/zzz.gguf", of_quantisations(*(f"Q4_K_{n}" for n in range(40))))
    assert "and 28 more" in told


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf:a/b", HubSource(repo="a/b")),
        ("hf:a/b:Q4_K_M", HubSource(repo="a/b", quantisation="Q4_K_M")),
        ("hf:a/b.c/d/e f.gguf", HubSource(repo="a/b.c", file="d/e f.gguf")),
    ],
)
def test_a_source_is_written_as_it_is_read(text: str, source: HubSource) -> None:
    assert read(text) == source
    assert str(source) == text

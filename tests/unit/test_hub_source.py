"""What is meant by the name of a model of the hub, and what is tried where it is none."""

from __future__ import annotations

import pytest

from mesh.errors import ModelFileError
from node.models.hub.source import HubSource, as_hub, is_hub, likely_file, read

QUANTISED = HubSource(repo="a/b", quantisation="Q8_0")
NAMED = HubSource(repo="a/b", file="d/m.gguf")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("hf:a/b", HubSource(repo="a/b")),
        ("a/b", HubSource(repo="a/b")),
        ("hf:a/b:Q8_0", QUANTISED),
        ("hf:a/b/d/m.gguf", NAMED),
        ("hf:a-b/c.d_e", HubSource(repo="a-b/c.d_e")),
        ("hf:a/" + "b" * 96, HubSource(repo="a/" + "b" * 96)),
        ("hf:a/b:" + "Q" * 32, HubSource(repo="a/b", quantisation="Q" * 32)),
        ("hf:a/b/" + "m" * (1024 - 7), HubSource(repo="a/b", file="m" * (1024 - 7))),
    ],
)
def test_a_source_names_a_repository_and_what_of_it(text: str, source: HubSource) -> None:
    assert read(text) == source


@pytest.mark.parametrize(
    "text",
    [
        *("hf:", "hf:a", "hf:a/", "hf:/b", "hf:a/b:", "hf:a/b:-x", "hf:a/b/", "hf:a/b//m.gguf"),
        *("hf:a/b/../m.gguf", "hf:a/b/./m.gguf", "hf:a/b:Q8_0/m.gguf", "hf:.a/b", "hf:a/b--c"),
        *("hf:a/b..c", "hf:a/b.", "hf:-a/b", "hf:a b/c", "hf:a/b:" + "Q" * 33),
        *("hf:a/" + "b" * 97, "hf:a/b/" + "m" * (1024 - 6)),
    ],
)
def test_what_is_of_no_form_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ModelFileError, match="is not of the form hf:OWNER/REPO") as raised:
        read(text)
    assert "; try" not in raised.value.message


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://huggingface.co/a/b", "hf:a/b"),
        ("http://www.huggingface.co/a/b", "hf:a/b"),
        ("hf.co/a/b:Q8_0", "hf:a/b:Q8_0"),
        ("huggingface.co/a/b/tree/main", "hf:a/b"),
        ("https://huggingface.co/a/b/blob/main/d/m.gguf", "hf:a/b/d/m.gguf"),
        ("https://huggingface.co/a/b/resolve/main/m.gguf?download=true", "hf:a/b/m.gguf"),
        ("https://huggingface.co/a/b?x=1", "hf:a/b"),
        ("https://example.org/a/b", ""),
        ("a/b", ""),
    ],
)
def test_the_address_of_a_page_is_the_source_that_it_shows(text: str, source: str) -> None:
    assert as_hub(text) == source
    if source:
        for written in (text, f"hf:{text}", f"hf://{text}"):
            with pytest.raises(ModelFileError) as raised:
                read(written)
            assert raised.value.message.endswith(f"; try {source}")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("hf:Qwen/Qwen2.5-7B-Instruct-GGUF:Q8_0", "Qwen2.5-7B-Instruct-Q8_0"),
        ("hf:Qwen/Qwen2.5-7B-Instruct-GGUF", "Qwen2.5-7B-Instruct"),
        ("hf:a/b_gguf", "b"),
        ("hf:a/gguf-b", "gguf-b"),
        ("hf:a/b/d/m.gguf", "hf:a/b/d/m.gguf"),
        ("/models/m.gguf", "/models/m.gguf"),
        ("hf:a", "hf:a"),
    ],
)
def test_a_source_that_names_no_file_is_called_after_its_repository(text: str, name: str) -> None:
    assert likely_file(text) == name


def test_only_what_begins_so_is_of_the_hub() -> None:
    assert is_hub("hf:a/b")
    assert not is_hub("/models/hf:a")
    assert [str(each) for each in (QUANTISED, NAMED)] == ["hf:a/b:Q8_0", "hf:a/b/d/m.gguf"]

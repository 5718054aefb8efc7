"""Model files are inspected without being trusted."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace

import gguf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.errors import ModelFileError
from node.models.catalogue import _FILE_TYPES, GgufFacts, inspect, model_id, resolve
from node.models.gguf_header import TENSOR_TYPES, read_header
from node.models.hub.place import Hub, in_words
from tests.gguf import CONTEXT, write_chain, write_random


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random(tmp_path_factory.mktemp("models") / "tiny.gguf")


def refused(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        inspect(path)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_facts_of_a_good_file(model: Path) -> None:
    facts = inspect(model)
    assert facts.architecture == "llama"
    assert facts.name == "tiny"
    assert facts.context_length == CONTEXT
    assert (facts.layers, facts.heads, facts.key_value_heads) == (2, 4, 2)
    assert facts.embedding_length == 64
    assert facts.quantisation == "F32"
    assert facts.file_bytes == model.stat().st_size
    assert facts.chat_template is not None
    reader = gguf.GGUFReader(model)
    assert facts.parameters == sum(int(t.n_elements) for t in reader.tensors)


def test_equal_tokenizers_have_equal_hashes_whatever_the_weights(
    model: Path, tmp_path: Path
) -> None:
    other = inspect(write_chain(tmp_path / "chain.gguf", "abc"))
    facts = inspect(model)
    assert other.tokenizer_hash == facts.tokenizer_hash != ""
    assert other.template_hash == facts.template_hash
    assert other.parameters != facts.parameters


def test_another_template_has_another_hash(model: Path, tmp_path: Path) -> None:
    other = inspect(write_random(tmp_path / "other.gguf", template="{{ messages[0].content }}"))
    assert other.template_hash != inspect(model).template_hash


def test_a_file_without_template_says_so(tmp_path: Path) -> None:
    assert inspect(write_random(tmp_path / "bare.gguf", template=None)).chat_template is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "none.gguf") in refused(tmp_path / "none.gguf")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    assert "folder" in refused(tmp_path)


def test_a_file_that_is_no_gguf_says_what_it_begins_with(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04 zip")
    assert "not a GGUF" in refused(path)
    path.write_bytes(b"")
    assert "not a GGUF" in refused(path)


def test_a_truncated_file_says_how_much_is_missing(model: Path, tmp_path: Path) -> None:
    data = model.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(data[:-100])
    message = refused(path)
    assert "truncated" in message
    assert str(len(data) - 100) in message
    path.write_bytes(data[:2000])
    assert "truncated" in refused(path)


def test_a_big_endian_file_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "big.gguf"
    path.write_bytes(b"GGUF" + struct.pack(">I", 3) + bytes(64))
    assert "big-endian" in refused(path)


def test_absurd_counts_are_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    path = tmp_path / "absurd.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60) + bytes(64))
    assert "more than fit" in refused(path)


def _facts_or_model_file_error(path: Path) -> None:
    message = ""
    try:
        assert isinstance(inspect(path), GgufFacts)
    except ModelFileError as error:
        message = error.message
    assert "\n" not in message


FUZZ = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(data=st.data())
def test_any_prefix_of_a_good_file_gives_facts_or_a_clear_error(
    model: Path, tmp_path: Path, data: st.DataObject
) -> None:
    whole = model.read_bytes()
    length = data.draw(st.integers(0, 12_000) | st.integers(0, len(whole)))
    path = tmp_path / "prefix.gguf"
    path.write_bytes(whole[:length])
    _facts_or_model_file_error(path)


@FUZZ
@given(data=st.data())
def test_any_mutation_of_a_good_file_gives_facts_or_a_clear_error(
    model: Path, tmp_path: Path, data: st.DataObject
) -> None:
    whole = bytearray(model.read_bytes())
    header = read_header(model).data_start
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, header - 1) | st.integers(0, 2000))
        patch = data.draw(st.binary(min_size=1, max_size=8))
        whole[place : place + len(patch)] = patch
    path = tmp_path / "mutated.gguf"
    path.write_bytes(whole)
    _facts_or_model_file_error(path)


@FUZZ
@given(garbage=st.binary(max_size=300))
def test_garbage_after_the_magic_gives_a_clear_error(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "garbage.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + garbage)
    _facts_or_model_file_error(path)


def test_the_tables_of_types_are_those_of_the_gguf_package() -> None:
    theirs = {
        int(kind): (kind.name, *size) for kind, size in gguf.constants.GGML_QUANT_SIZES.items()
    }
    assert {kind: TENSOR_TYPES.get(kind) for kind in theirs} == theirs
    for kind in gguf.LlamaFileType:
        if kind is not gguf.LlamaFileType.GUESSED:
            name = kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
            assert _FILE_TYPES[int(kind)].startswith(name.removesuffix("_MOE"))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("/models/Qwen2.5-0.5B-Instruct-Q8_0.gguf", "qwen2.5-0.5b-instruct-q8_0"),
        ("hf:OWNER/REPO/sub/My Model.gguf", "my-model"),
        ("big-00001-of-00003.gguf", "big"),
        ("hf:OWNER/My.Model-7B-GGUF", "my.model-7b"),
        ("hf:OWNER/My.Model-7B-GGUF:Q4_K_M", "my.model-7b-q4_k_m"),
        ("hf:nonsense", "hf-nonsense"),
        ("echo", "echo"),
        ("/models/.gguf", "model"),
    ],
)
def test_the_default_id_comes_from_the_file_name(source: str, expected: str) -> None:
    assert model_id(source) == expected


def test_a_path_resolves_with_the_home_folder(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(model.parent))
    assert resolve("~/tiny.gguf") == model.resolve()
    assert resolve(str(model)) == model.resolve()


@pytest.mark.parametrize(
    "source",
    [
        "hf:",
        "hf:owner",
        "hf:owner/repo/",
        "hf:owner/repo:",
        "hf:owner/repo:Q4/file.gguf",
        "hf://owner/repo/file.gguf",
        "hf:owner/../file.gguf",
        "hf:own er/repo/file.gguf",
    ],
)
def test_a_hub_source_of_the_wrong_form_is_told_the_right_one(source: str) -> None:
    with pytest.raises(ModelFileError, match="hf:OWNER/REPO/FILE"):
        resolve(source)


@pytest.mark.parametrize("source", ["", "/no/such/model.gguf", "/", "a\0b", "~nobody-here/x"])
def test_a_path_that_leads_nowhere_is_a_clear_error(source: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        resolve(source)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("https://huggingface.co/a/b", "hf:a/b"),
        ("https://huggingface.co/a/b/tree/main", "hf:a/b"),
        ("huggingface.co/a/b/blob/main/x/c.gguf?download=true", "hf:a/b/x/c.gguf"),
        ("hf.co/a/b:Q4_K_M", "hf:a/b:Q4_K_M"),
        ("hf:https://huggingface.co/a/b/resolve/main/c.gguf", "hf:a/b/c.gguf"),
    ],
)
def test_a_pages_address_is_answered_with_the_source_that_it_stands_for(
    address: str, source: str
) -> None:
    with pytest.raises(ModelFileError, match=f"try {source}$"):
        resolve(address)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("GatedRepoError", "accept its licence at http://hub/a/b"),
        ("RepositoryNotFoundError", "no repository"),
        ("RemoteEntryNotFoundError", "no file 'c.gguf'"),
        ("LocalEntryNotFoundError", "cannot be reached"),
        ("OfflineModeIsEnabled", "HF_HUB_OFFLINE"),
        ("FileMetadataError", "cannot be reached"),
        ("HfHubHTTPError", "answered 502: try again later"),
    ],
)
def test_what_the_hub_says_becomes_one_line(error: str, words: str) -> None:
    from huggingface_hub import errors

    kind = getattr(errors, error)
    # Some of them want a response to be made with; what they are is all that counts here.
    raised = kind.__new__(kind)
    raised.args = ("502 Server Error\nlong story",)
    raised.response = SimpleNamespace(status_code=502)
    with (
        pytest.raises(ModelFileError, match=words) as caught,
        in_words(Hub("http://hub", Path("/cache")), "a/b", "c.gguf"),
    ):
        raise raised
    assert "\n" not in caught.value.message

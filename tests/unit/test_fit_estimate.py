"""What a load takes, from the header alone."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from mesh.errors import ConfigError, ModelFileError
from node.engines.estimate import CPU, Estimate
from node.engines.llama_cpp.memory.allocation import Node, peak_bytes
from node.engines.llama_cpp.memory.kv import KV_TYPES
from node.engines.llama_cpp.memory.need import need, place
from node.models.catalogue import GgufFacts, inspect
from node.models.gguf_shape import LayerShape, Shape
from tests.gguf import write_random
from training.rigs.gguf_shapes import F16, Q4_K, Recipe, write

MIB = 1024 * 1024
SMALL = Recipe(name="small", layers=6, width=512, heads=8, groups=2, context=8192)


def facts_of(folder: Path, recipe: Recipe = SMALL) -> GgufFacts:
    return inspect(write(folder / "model.gguf", recipe, empty=True))


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> GgufFacts:
    return facts_of(tmp_path_factory.mktemp("fit"))


def on_gpu(facts: GgufFacts, gpu_layers: int = -1, **changes: object) -> Estimate:
    wanted = {"context_length": 1024, "slots": 4, "device": "GPU-1", **changes}
    return need(facts, gpu_layers=gpu_layers, **wanted)  # type: ignore[arg-type]


def test_the_shape_has_every_tensor_once(facts: GgufFacts, tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf", SMALL, empty=True)
    reader = gguf.GGUFReader(path)
    assert facts.shape.weights_bytes == sum(int(t.n_bytes) for t in reader.tensors)
    assert len(facts.shape.layers) == SMALL.layers
    assert facts.shape.vocabulary == SMALL.vocabulary


def test_on_the_cpu_nothing_is_in_vram(facts: GgufFacts) -> None:
    load = need(facts, context_length=1024, slots=4, gpu_layers=-1, device=CPU)
    assert load.vram_bytes == 0
    assert load.ram.weights_bytes == facts.shape.weights_bytes
    assert load.offload == "all 6 layers on the CPU"


@pytest.mark.parametrize(
    ("kv_type", "per_number"),
    [("f32", 4), ("f16", 2), ("bf16", 2), ("q8_0", 34 / 32), ("q4_0", 18 / 32)],
)
def test_cache_is_cells_times_heads_times_layers(
    facts: GgufFacts, kv_type: str, per_number: float
) -> None:
    load = need(facts, context_length=1024, slots=4, gpu_layers=0, device=CPU, kv_type=kv_type)
    keys_and_values = 2 * SMALL.groups * SMALL.key_width
    assert load.ram.kv_bytes == 4 * 1024 * keys_and_values * SMALL.layers * per_number
    assert load.kv_slot_bytes * 4 == load.ram.kv_bytes


def test_a_slots_cells_come_in_blocks_of_256(facts: GgufFacts) -> None:
    sizes = [on_gpu(facts, context_length=length).gpu.kv_bytes for length in (1, 256, 257, 512)]
    assert sizes[0] == sizes[1] < sizes[2] == sizes[3]


def test_the_output_goes_to_the_gpu_first_and_embeddings_never(facts: GgufFacts) -> None:
    shape = facts.shape
    one = on_gpu(facts, 1)
    assert one.gpu.weights_bytes == shape.output_bytes
    assert one.gpu.kv_bytes == 0
    three = on_gpu(facts, 3)
    assert three.gpu.weights_bytes == shape.output_bytes + sum(
        layer.weights_bytes for layer in shape.layers[-2:]
    )
    assert three.gpu.kv_bytes == 4 * three.kv_slot_bytes * 2 // 6
    whole = on_gpu(facts)
    assert whole.ram.weights_bytes == shape.input_bytes
    assert whole.ram.kv_bytes == 0


@pytest.mark.parametrize("gpu_layers", range(8))
def test_no_byte_of_weights_or_cache_is_lost_by_offloading(
    facts: GgufFacts, gpu_layers: int
) -> None:
    load = on_gpu(facts, gpu_layers)
    assert load.gpu.weights_bytes + load.ram.weights_bytes == facts.shape.weights_bytes
    assert load.gpu.kv_bytes + load.ram.kv_bytes == load.kv_slot_bytes * 4


def test_offload_is_said_in_words(facts: GgufFacts) -> None:
    assert on_gpu(facts).offload == "all 6 layers on the GPU"
    assert on_gpu(facts, 7).offload == "all 6 layers on the GPU"
    assert on_gpu(facts, 0).offload == "no layer on the GPU, all 6 on the CPU"
    assert on_gpu(facts, 3).offload == (
        "2 of 6 layers and the output on the GPU, 4 layers on the CPU"
    )
    assert [place(6, n) for n in (-1, 0, 6, 7, 99)] == [7, 0, 6, 7, 7]


def test_a_tied_output_is_a_second_copy_on_a_gpu_only(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, replace(SMALL, tied=True))
    embeddings = facts.shape.tied_bytes
    assert embeddings == facts.shape.input_bytes > 0
    assert on_gpu(facts, 0).ram.weights_bytes == facts.shape.weights_bytes
    both = on_gpu(facts)
    assert both.gpu.weights_bytes + both.ram.weights_bytes == (
        facts.shape.weights_bytes + embeddings
    )


def test_all_experts_are_counted(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, replace(SMALL, experts=8, weights=F16))
    one = 3 * 2 * SMALL.width * SMALL.feed_forward
    assert all(layer.expert_bytes == 8 * one for layer in facts.shape.layers)
    assert all(layer.feed_forward == 2 * SMALL.feed_forward for layer in facts.shape.layers)


def test_windows_shorten_the_cache_only_where_the_engine_lets_them(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, replace(SMALL, architecture="gemma2", window=512))
    assert [layer.window for layer in facts.shape.layers] == [512, 0, 512, 0, 512, 0]
    full = on_gpu(facts, context_length=8192).gpu.kv_bytes
    short = on_gpu(facts, context_length=8192, full_windows=False).gpu.kv_bytes
    assert short == full * (8192 + 1024) / (2 * 8192)


def test_a_recurrent_state_does_not_grow_with_the_context() -> None:
    layer = LayerShape(weights_bytes=10, state_width=1000)
    shape = Shape(
        layers=(layer, layer),
        input_bytes=1,
        output_bytes=1,
        tied_bytes=0,
        vocabulary=256,
        embedding_length=64,
        head_width=16,
    )
    facts = replace(_plain(), shape=shape)
    sizes = {
        need(facts, context_length=length, slots=3, gpu_layers=0, device=CPU).ram.kv_bytes
        for length in (256, 4096)
    }
    assert sizes == {2 * 3 * 4 * 1000}


def _plain() -> GgufFacts:
    return GgufFacts(
        name="made",
        architecture="llama",
        parameters=1,
        quantisation="F16",
        context_length=0,
        layers=2,
        heads=4,
        key_value_heads=4,
        embedding_length=64,
        file_bytes=1,
        tokenizer_hash="",
        template_hash="",
        chat_template=None,
        shape=Shape(
            layers=(),
            input_bytes=0,
            output_bytes=0,
            tied_bytes=0,
            vocabulary=0,
            embedding_length=0,
            head_width=0,
        ),
    )


def write_header(
    path: Path, architecture: str, tensors: Mapping[str, tuple[int, ...]], **numbers: object
) -> Path:
    """A GGUF of f16 tensors, with ``numbers`` under the architecture's name; weights are a hole."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in numbers.items():
        name = f"{architecture}.{key.replace('__', '.')}"
        if isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_uint32(name, int(str(value)))
    size = 0
    for tensor, shape in tensors.items():
        count = 1
        for length in shape:
            count *= length
        writer.add_tensor_info(tensor, shape, np.dtype("float16"), 2 * count)
        size += -(-2 * count // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.truncate(-(-file.tell() // 32) * 32 + size)
    return path


def test_mla_keeps_one_latent_vector_a_token(tmp_path: Path) -> None:
    names = ("attn_kv_a_mqa.weight", "attn_k_b.weight", "attn_v_b.weight", "attn_output.weight")
    path = write_header(
        tmp_path / "mla.gguf",
        "deepseek2",
        {"token_embd.weight": (100, 64)}
        | {f"blk.{n}.{name}": (64, 64) for n in range(3) for name in names},
        block_count=3,
        embedding_length=64,
        attention__head_count=16,
        attention__head_count_kv=1,
        attention__key_length=576,
        attention__value_length=512,
        attention__key_length_mla=192,
        attention__value_length_mla=128,
    )
    layers = inspect(path).shape.layers
    assert [(layer.key_width, layer.value_width) for layer in layers] == [(576, 0)] * 3


def test_heads_may_differ_by_layer_and_some_layers_have_no_cache(tmp_path: Path) -> None:
    attention = ("attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight")
    tensors = {"token_embd.weight": (100, 64)}
    for layer, names in enumerate((("ssm_in.weight", "ssm_out.weight"), attention, attention)):
        tensors |= {f"blk.{layer}.{name}": (64, 64) for name in names}
    path = write_header(
        tmp_path / "hybrid.gguf",
        "jamba",
        tensors,
        block_count=3,
        embedding_length=64,
        attention__head_count=4,
        attention__head_count_kv=[0, 2, 4],
        ssm__conv_kernel=4,
        ssm__inner_size=128,
        ssm__state_size=16,
    )
    layers = inspect(path).shape.layers
    assert [layer.key_width for layer in layers] == [0, 32, 64]
    assert [layer.state_width for layer in layers] == [3 * 128 + 16 * 128, 0, 0]


def test_an_unknown_architecture_is_said_to_be_a_guess(tmp_path: Path) -> None:
    known = inspect(write_random(tmp_path / "known.gguf"))
    unknown = inspect(write_random(tmp_path / "unknown.gguf", architecture="florble"))
    assert known.shape.notes == ()
    assert need(unknown, context_length=64, slots=1, gpu_layers=0, device=CPU).notes == (
        "unknown architecture 'florble': estimated as a plain transformer",
    )


def test_a_layer_count_that_nothing_could_hold_is_refused(tmp_path: Path) -> None:
    path = write_header(
        tmp_path / "deep.gguf", "llama", {"token_embd.weight": (8, 8)}, block_count=4_000_000_000
    )
    with pytest.raises(ModelFileError, match="4000000000 layers"):
        inspect(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slots": 0}, "slots must be at least 1"),
        ({"context_length": 0}, "context must be at least 1 token"),
        ({"context_length": 8193}, "trained for; ask for at most 8192"),
        ({"kv_type": "q3_k"}, f"one of {', '.join(KV_TYPES)}"),
    ],
)
def test_what_cannot_be_loaded_is_refused(
    facts: GgufFacts, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        on_gpu(facts, **changes)  # type: ignore[arg-type]
    assert said in caught.value.message


def test_a_gpus_own_share_is_marked_as_stated(facts: GgufFacts) -> None:
    pascal = on_gpu(facts, compute_capability="6.1")
    assert pascal.gpu.overhead_bytes == 150 * MIB
    assert "stated figure until a load is measured" in pascal.notes[-1]
    assert on_gpu(facts, compute_capability="garbage").gpu.overhead_bytes == 450 * MIB


def test_without_flash_attention_the_scores_are_counted_and_said(tmp_path: Path) -> None:
    odd = facts_of(tmp_path, replace(SMALL, architecture="qwen3", head_width=48))
    load = on_gpu(odd, context_length=4096, slots=1)
    assert load.gpu.compute_bytes > 4 * SMALL.heads * 4096 * 512
    assert load.notes[-1].startswith("heads of 48 numbers: estimated without flash attention")
    on_cpu = need(odd, context_length=4096, slots=1, gpu_layers=0, device=CPU)
    assert on_cpu.ram.compute_bytes < load.gpu.compute_bytes // 2
    assert on_cpu.notes == ()


def test_more_rows_of_logits_and_adapters_are_counted_where_they_are(facts: GgufFacts) -> None:
    plain, more = on_gpu(facts), on_gpu(facts, outputs_per_slot=9, adapters_bytes=5 * MIB)
    assert more.gpu.weights_bytes - plain.gpu.weights_bytes == 5 * MIB
    rows = 4 * 8 * SMALL.vocabulary * 4
    assert more.ram.compute_bytes - plain.ram.compute_bytes == rows
    assert on_gpu(facts, 0, adapters_bytes=5 * MIB).ram.weights_bytes == (
        facts.shape.weights_bytes + 5 * MIB
    )


def test_the_parts_of_a_model_are_added_up_and_a_missing_one_is_named(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.gguf", SMALL, empty=True)
    for part in (1, 2):
        writer = gguf.GGUFWriter(tmp_path / f"m-0000{part}-of-00002.gguf", "llama")
        writer.add_uint16("split.no", part - 1)
        writer.add_uint16("split.count", 2)
        if part == 1:
            writer.add_block_count(1)
            writer.add_embedding_length(8)
        writer.add_tensor(f"blk.0.part{part}.weight", np.ones((8, 8), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    first, second = tmp_path / "m-00001-of-00002.gguf", tmp_path / "m-00002-of-00002.gguf"
    found = inspect(first)
    assert found.shape.weights_bytes == 2 * 8 * 8 * 4
    assert found.parameters == 2 * 8 * 8
    assert found.file_bytes == first.stat().st_size + second.stat().st_size
    with pytest.raises(ModelFileError, match="give the first"):
        inspect(second)
    second.unlink()
    with pytest.raises(ModelFileError, match=r"m-00002-of-00002\.gguf is not beside it"):
        inspect(first)
    assert inspect(whole).file_bytes == whole.stat().st_size


def test_a_signed_or_odd_number_in_the_header_breaks_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.gguf", SMALL, empty=True)
    data = path.read_bytes()[: 64 * 1024]
    key = b"llama.attention.head_count_kv"
    at = data.index(key) + len(key)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(struct.pack("<Ii", 5, -7))
    load = on_gpu(inspect(path))
    assert load.gpu.kv_bytes == 0


def test_quantised_kinds_are_told_apart(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, replace(SMALL, weights=Q4_K, feed_forward=1536))
    assert len(facts.shape.quantised_bytes) == 1
    assert facts_of(tmp_path, replace(SMALL, weights=F16)).shape.quantised_bytes == ()


def test_a_buffer_is_used_again_after_the_last_use() -> None:
    first = Node(1024)
    second = Node(1024, (first,))
    third = Node(1024, (second,))
    fourth = Node(1024, (third,))
    assert peak_bytes([first, second, third, fourth]) == 2048


def test_an_operation_in_place_takes_nothing_unless_its_source_is_needed_again() -> None:
    first = Node(1024)
    over = Node(1024, (first,), inplace=True)
    assert peak_bytes([first, over]) == 1024
    first = Node(1024)
    over = Node(1024, (first,), inplace=True)
    later = Node(1024, (over, first))
    assert peak_bytes([first, over, later]) == 3072

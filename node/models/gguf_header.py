"""Reads a GGUF header without trusting it, so that no broken file ever reaches a C++ loader.

Own reader, not ``gguf.GGUFReader``: that one maps the whole file, raises whatever NumPy raises on
garbage, and takes seconds on a large vocabulary. This one reads the header only (a 10 GB model
costs what its tokenizer costs) and answers with a header or a ``ModelFileError``.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mesh.errors import ModelFileError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_HEADER_BYTES = 512 * 1024 * 1024  # the largest vocabularies in use need about 20 MiB
_FIRST_READ = 1024 * 1024
_MAX_KEY_BYTES = 65_535
_MAX_DIMENSIONS = 4

_STRING, _ARRAY = 8, 9
# Value types of the format: struct code of each scalar.
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}

# ggml tensor types: name, elements in a block, bytes of a block (ggml.h and ggml-common.h; a test
# compares this with the table in the ``gguf`` package, whose import would cost every node 20 MB).
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}

Value = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Array:
    """An array value: element type, number of elements, and its bytes as they stand in the file."""

    kind: int
    count: int
    raw: bytes


def numbers(array: Array) -> tuple[int, ...]:
    """The whole numbers (or truth values, as 0 and 1) in ``array``; () for other kinds."""
    code = _SCALARS.get(array.kind, "")
    if not code or code in ("<f", "<d"):
        return ()
    return tuple(int(value) for (value,) in struct.iter_unpack(code, array.raw))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """``size``: bytes, None for a type newer than this table. ``offset``: from the data's start."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    size: int | None

    @property
    def elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Everything before the tensor data, which starts at byte ``data_start``."""

    version: int
    values: Mapping[str, Value | Array]
    tensors: tuple[Tensor, ...]
    data_start: int
    file_bytes: int


def read_header(path: Path) -> Header:
    """Reads and checks the header of the GGUF at ``path``.

    Raises ``ModelFileError`` with one line on what is wrong: missing, unreadable, not a GGUF, an
    unsupported version, malformed, or truncated (tensor data beyond the end of the file).
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise ModelFileError(f"{path} is a folder; give the path of a .gguf file in it")
        if not path.is_file():  # a pipe of that name would make us wait for ever
            raise ModelFileError(f"{path} is no regular file; give the path of a .gguf file")
        with path.open("rb") as file:
            return _Reader(path, file, size).header()
    except FileNotFoundError:
        raise ModelFileError(f"no model file at {path}; check the path") from None
    except OSError as error:
        raise ModelFileError(f"cannot read model file {path}: {error.strerror or error}") from None


class _Reader:
    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path = path
        self._file = file
        self._size = size
        self._data = bytearray()
        self._at = 0

    def header(self) -> Header:
        magic = self._file.read(len(MAGIC))
        if magic != MAGIC:
            raise ModelFileError(
                f"{self._path} is not a GGUF file (it starts with {magic!r}, not {MAGIC!r}); "
                "give a model in GGUF format"
            )
        self._file.seek(0)
        self._at = len(MAGIC)
        version = self._integer("<I")
        if version not in VERSIONS:
            byte_swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
            what = "is big-endian" if byte_swapped else f"has GGUF version {version}"
            raise ModelFileError(
                f"{self._path} {what}; only little-endian GGUF of version 2 or 3 can be loaded"
            )
        tensor_count, value_count = self._integer("<Q"), self._integer("<Q")
        values: dict[str, Value | Array] = {}
        for _ in range(self._bounded(value_count, 13, "metadata entries")):
            key = self._string(_MAX_KEY_BYTES)
            if key in values:
                raise self._malformed(f"metadata key {key!r} appears twice")
            values[key] = self._value(self._integer("<I"))
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 65_536 or alignment % 8:
            raise self._malformed(f"alignment {alignment!r} is not a multiple of 8")
        tensors = tuple(
            self._tensor(alignment) for _ in range(self._bounded(tensor_count, 24, "tensors"))
        )
        if len({tensor.name for tensor in tensors}) < len(tensors):
            raise self._malformed("two tensors have one name")
        data_start = -(-self._at // alignment) * alignment
        self._check_complete(tensors, data_start)
        return Header(
            version=version,
            values=values,
            tensors=tensors,
            data_start=data_start,
            file_bytes=self._size,
        )

    def _check_complete(self, tensors: tuple[Tensor, ...], data_start: int) -> None:
        end = max((data_start + t.offset + (t.size or 0) for t in tensors), default=data_start)
        if tensors and end > self._size:
            raise ModelFileError(
                f"{self._path} is truncated: {self._size} bytes are here and its tensors need "
                f"{end}; copy or download it again"
            )

    def _tensor(self, alignment: int) -> Tensor:
        name = self._string(_MAX_KEY_BYTES)
        dimensions = self._integer("<I")
        if not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise self._malformed(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._integer("<Q") for _ in range(dimensions))
        kind, offset = self._integer("<I"), self._integer("<Q")
        elements = math.prod(shape)
        if not 0 < elements < 2**48 or offset >= 2**48:
            raise self._malformed(f"tensor {name!r} has an impossible shape or place")
        if offset % alignment:
            raise self._malformed(f"tensor {name!r} is not aligned to {alignment} bytes")
        size = None
        if kind in TENSOR_TYPES:
            _, block, block_bytes = TENSOR_TYPES[kind]
            if shape[0] % block:
                raise self._malformed(f"tensor {name!r} has rows that are no whole blocks")
            size = elements // block * block_bytes
        return Tensor(name=name, shape=shape, type=kind, offset=offset, size=size)

    def _value(self, kind: int) -> Value | Array:
        if kind in _SCALARS:
            value: Value = struct.unpack(
                _SCALARS[kind], self._take(struct.calcsize(_SCALARS[kind]))
            )[0]
            return value
        match kind:
            case 8:  # string
                return self._string(MAX_HEADER_BYTES)
            case 9:  # array
                return self._array()
        raise self._malformed(f"unknown metadata type {kind}")

    def _array(self) -> Array:
        kind, count = self._integer("<I"), self._integer("<Q")
        if kind in _SCALARS:
            width = struct.calcsize(_SCALARS[kind])
            return Array(kind, count, self._take(self._bounded(count, width, "elements") * width))
        if kind != _STRING:
            raise self._malformed(f"an array of metadata type {kind}")
        start = self._at
        for _ in range(self._bounded(count, 8, "strings")):
            self._skip(self._integer("<Q"))
        return Array(kind, count, bytes(self._data[start : self._at]))

    def _string(self, limit: int) -> str:
        length = self._integer("<Q")
        if length > limit:
            raise self._malformed(f"a string of {length} bytes")
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise self._malformed("a string that is not UTF-8") from None

    def _integer(self, code: str) -> int:
        value: int = struct.unpack(code, self._take(struct.calcsize(code)))[0]
        return value

    def _take(self, count: int) -> bytes:
        start = self._at
        self._skip(count)
        return bytes(self._data[start : self._at])

    def _skip(self, count: int) -> None:
        end = self._at + count
        if end > len(self._data):
            self._grow(end)
        self._at = end

    def _grow(self, end: int) -> None:
        if end > self._size:
            raise ModelFileError(
                f"{self._path} is truncated: its header goes on after the end of the file "
                f"({self._size} bytes); copy or download it again"
            )
        if end > MAX_HEADER_BYTES:
            raise self._malformed(f"a header of more than {MAX_HEADER_BYTES} bytes")
        wanted = max(end, 2 * len(self._data), _FIRST_READ) - len(self._data)
        self._data += self._file.read(wanted)
        if end > len(self._data):
            raise ModelFileError(f"{self._path} shrank while it was read; copy it again")

    def _bounded(self, count: int, least_bytes: int, what: str) -> int:
        """``count``, after checking that so many things could be in the rest of the file at all."""
        if count * least_bytes > self._size - self._at:
            raise ModelFileError(
                f"{self._path} is truncated or malformed: it announces {count} {what}, more than "
                f"fit in its {self._size} bytes; copy or download it again"
            )
        return count

    def _malformed(self, what: str) -> ModelFileError:
        return ModelFileError(
            f"{self._path} is malformed at byte {self._at}: {what}; copy or download it again"
        )

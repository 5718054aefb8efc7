"""Which number formats a GPU computes fast, by its compute capability. Pure.

Sources: CUDA C++ Programming Guide, table "Throughput of Native Arithmetic Instructions" (results
per clock cycle and multiprocessor), and its section "Compute Capabilities" with NVIDIA's tuning
guides for what the tensor cores of each architecture take.
"""

from __future__ import annotations

# (from this capability on, below that one, format)
_FAST: tuple[tuple[tuple[int, int], tuple[int, int], str], ...] = (
    # Every CUDA card: 64 to 192 results a clock.
    ((0, 0), (99, 0), "fp32"),
    # 5.3 (Tegra X1) 256, 6.0 (P100) 128 results against 64 of fp32.
    ((5, 3), (6, 1), "fp16"),
    # 6.1 (GTX 10x0, P40, P4) has 2 results against 128 of fp32: 1/64, so not listed. 6.2 has 256.
    ((6, 2), (99, 0), "fp16"),  # from 7.0 on in tensor cores (Volta tuning guide)
    # The dot product of four 8-bit integers (dp4a) came with 6.1; tensor cores take int8 since 7.2.
    ((6, 1), (99, 0), "int8"),
    # Tensor cores of 8.0 and newer take bf16 and tf32 (Ampere tuning guide); before that, bf16 is
    # emulated by way of fp32.
    ((8, 0), (99, 0), "bf16"),
    ((8, 0), (99, 0), "tf32"),
    # fp8 (e4m3, e5m2): Ada 8.9 and Hopper 9.0 (Ada and Hopper tuning guides).
    ((8, 9), (99, 0), "fp8"),
    # fp4 (e2m1): Blackwell, 10.0 and 12.0 (Blackwell tuning guide).
    ((10, 0), (99, 0), "fp4"),
)


def parse_capability(capability: str | None) -> tuple[int, int] | None:
    """``8.9`` as (8, 9); None for what is none."""
    major, _, minor = (capability or "").partition(".")
    if not (major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit()):
        return None
    return int(major), int(minor)


def fast_dtypes(capability: str | None) -> tuple[str, ...]:
    """``fp32``, ``tf32``, ``fp16``, ``bf16``, ``int8``, ``fp8``, ``fp4``, as far as they are fast;
    empty where the capability is not known. A slow format still works: llama.cpp, for one, runs
    fp16 weights on a card of 6.1 by way of fp32."""
    version = parse_capability(capability)
    if version is None:
        return ()
    return tuple(name for since, until, name in _FAST if since <= version < until)

"""Values that nobody should have written into the registry, as rows and as a strategy."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

from hypothesis import strategies as st

DEEP = b"[" * 6_000 + b"]" * 6_000


def node(**changes: Any) -> dict[str, Any]:
    """A good record's content, of a node that says much of itself."""
    return {
        "id": "x",
        "instance": "i",
        "name": "box-x",
        "host": "h",
        "pid": 7,
        "state": "ready",
        "reason": "",
        "endpoint": "tcp://127.0.0.1:9",
        "transport": "zeromq",
        "direct_endpoint": "127.0.0.1:10",
        "specialties": ["math"],
        "models": [model()],
        "gpus": [gpu()],
        "accelerator": "1 GPU",
        "cpu": {"name": "c", "physical_cores": 4, "logical_cores": 8, "load": 0.5},
        "memory": {"total_bytes": 2**35, "available_bytes": 2**34},
        "version": "0.1",
        "protocol": 3,
        "started_at": 1.7e9,
        "updated_at": 1.7e9,
    } | changes


def model(**changes: Any) -> dict[str, Any]:
    return {
        "id": "m",
        "engine": "llama_cpp",
        "specialties": ["math"],
        "state": "resident",
        "slots": 4,
        "used_slots": 1,
        "context_length": 4096,
        "device": "GPU-1",
        "file_bytes": 2**32,
        "error": "it did not load",
        "ttl_s": 60.0,
        "input_price": 0.5,
        "note": "on the CPU",
        "last_error": "out of memory",
        "load_percent": 40,
        "unload_at": 1.7e9,
        "queued": 2,
        "prefill_tps": 900.0,
        "decode_tps": 50.0,
        "decode_tps_half": 80.0,
        "decode_tps_full": 120.0,
        "load_s": 3.0,
        "counts": {"sequences": 4, "reused": 2, "prompt_tokens": 100, "reused_tokens": 40},
    } | changes


def gpu(**changes: Any) -> dict[str, Any]:
    return {
        "uuid": "GPU-1",
        "name": "NVIDIA GeForce RTX 4070",
        "index": 0,
        "total_bytes": 2**34,
        "used_bytes": 2**33,
        "free_bytes": 2**33,
        "temperature_c": 54.0,
        "power_w": 120.0,
        "utilisation": 0.9,
        "throttled": "hot",
        "throttled_to": 0.7,
        "dtypes": ["bf16"],
    } | changes


def orchestrator(**changes: Any) -> dict[str, Any]:
    return {
        "id": "x",
        "instance": "i",
        "name": "front-x",
        "host": "h",
        "pid": 7,
        "endpoint": "127.0.0.1:9",
        "fallback": "chat",
        "ticket_key": "A" * 43,
        "started_at": 1.7e9,
    } | changes


def data(content: Any) -> bytes:
    return json.dumps(content).encode()


class Row(NamedTuple):
    name: str
    key: str
    value: bytes
    told: str  # of the reason


ROWS = [
    Row("no JSON", "nodes/x", b"x", "malformed"),
    Row("nothing", "nodes/x", b"", "truncated"),
    Row("null", "nodes/x", b"null", "Expected"),
    Row("6,000 brackets", "nodes/x", DEEP, "object"),
    Row("6,000 brackets that never close", "nodes/x", b'{"a":' * 6_000, "deep"),
    Row("brackets in a newer field", "nodes/x", data(node())[:-1] + b',"z":' + DEEP + b"}", "deep"),
    Row("brackets for an orchestrator", "orchestrators/x", DEEP, "object"),
    Row("not UTF-8", "nodes/x", data(node(name="N")).replace(b"N", b"\xff", 1), "utf-8"),
    Row("half a surrogate", "nodes/x", data(node(name="\ud800")), "truncated|surrogate|malformed"),
    Row("a mark of byte order", "nodes/x", b"\xef\xbb\xbf" + data(node()), "malformed"),
    Row("10^400 slots", "nodes/x", data(node(models=[model(slots=10**400)])), "slots"),
    Row("-1 slots", "nodes/x", data(node(models=[model(slots=-1)])), "slots"),
    Row("10^5000 slots", "nodes/x", data(node(models=[model(slots=1)])).replace(
        b'"slots": 1', b'"slots": 1' + b"0" * 5_000), "slots"),
    Row("an endless speed", "nodes/x", data(node(models=[model(decode_tps=float("inf"))])), ""),
    Row("a speed of NaN", "nodes/x", data(node(models=[model(decode_tps=float("nan"))])), ""),
    Row("a speed of 1e308", "nodes/x", data(node(models=[model(decode_tps=1e308)])), "decode_tps"),
    Row("a pid of 2^40", "orchestrators/x", data(orchestrator(pid=2**40)), "pid"),
    Row("a pid of -1", "orchestrators/x", data(orchestrator(pid=-1)), "pid"),
    Row("a node's pid of 2^40", "nodes/x", data(node(pid=2**40)), "pid"),
    Row("2^64-1 bytes", "nodes/x", data(node(gpus=[gpu(total_bytes=2**64 - 1)])), "total_bytes"),
    Row("2^32-1 degrees", "nodes/x", data(node(gpus=[gpu(temperature_c=2**32 - 1)])), "temper"),
    Row("101 percent", "nodes/x", data(node(models=[model(load_percent=101)])), "load_percent"),
    Row("a share of 2", "nodes/x", data(node(gpus=[gpu(utilisation=2.0)])), "utilisation"),
    Row("the year 10^9", "nodes/x", data(node(started_at=1e20)), "started_at"),
    Row("port 99999", "nodes/x", data(node(endpoint="tcp://h:99999")), "port 99999"),
    Row("a port of 10^300", "orchestrators/x", data(orchestrator(endpoint=f"h:{10**300}")), "port"),
    Row("an address of blanks", "nodes/x", data(node(endpoint="tcp://h :1")), "no address"),
    Row("a specialty of nothing to show", "nodes/x", data(node(specialties=["\x1b"])), "specialt"),
    Row("a model's id of nothing to show", "nodes/x", data(node(models=[model(id="\n")])), "id"),
    Row("two models of one id", "nodes/x", data(node(models=[model(), model(slots=2)])), "one id"),
    Row("5,000 models", "nodes/x", data(node(models=[{**model(), "id": str(n), "note": "",
        "counts": {}} for n in range(5_000)]))[:1_000_000], ""),
    Row("300 cards", "nodes/x", data(node(gpus=[gpu()] * 300)), "gpus"),
    Row("a name of 100,000", "nodes/x", data(node(name="n" * 100_000)), "name"),
    Row("1.4 MB", "nodes/x", data(node(reason="r" * 1_400_000)), "bytes"),
    Row("another's id", "nodes/x", data(node(id="y")), "another id"),
    Row("an id of escapes", "nodes/\x1b[2Jx", data(node(id="\x1b[2Jx")), "id"),
    Row("no id", "nodes/", data(node(id="")), "id"),
    Row("an id of 5,000", f"nodes/{'k' * 5_000}", data(node(id="k" * 5_000)), "id"),
    Row("a state of tomorrow", "nodes/x", data(node(state="dreaming")), "dreaming"),
    Row("an orchestrator's record", "nodes/x", data(orchestrator()), "state|reason"),
]  # fmt: skip

_NUMBERS = st.sampled_from(
    [
        *(0, -1, 1, 2**31, 2**32 - 1, 2**53, 2**60, 2**63, 2**64 - 1, 10**400, 65_536, 1_000_000),
        *(0.5, -0.0, 1e-320, 1e9, 1e300, float("inf"), float("-inf"), float("nan")),
    ]
)
_TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "\x1b[2J", "\n\n", "\u202e", "\x00", "x" * 600, "é" * 200, "h:99999"]),
    st.sampled_from(["cpu", "GPU-1", "ready", "failed", "loading", "cold", "tcp://h:1", "\u200b"]),
)
_ANY = st.one_of(
    _NUMBERS,
    _TEXTS,
    st.sampled_from([None, True, False, [], {}, [None], {"a": {}}]),
    st.lists(_TEXTS, max_size=3),
)


@st.composite
def spoilt(draw: Callable[..., Any]) -> tuple[str, bytes]:
    """Key and value: a record of which up to four fields, wherever they are, say something else."""
    if draw(st.integers(0, 9)) == 0:
        key, content = "orchestrators/x", orchestrator()
    else:
        models = [model(id=f"m{n}") for n in range(draw(st.integers(0, 3)))]
        gpus = [gpu(uuid=f"GPU-{n}") for n in range(draw(st.integers(0, 3)))]
        key, content = "nodes/x", node(models=models, gpus=gpus)
    for _ in range(draw(st.integers(1, 4))):
        inside: Any = content
        while True:
            places = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            deeper = isinstance(inside[place], dict | list) and inside[place]
            if not deeper or draw(st.integers(0, 3)) == 0:
                inside[place] = deepcopy(draw(_alike(inside[place])))  # what is drawn is shared
                break
            inside = inside[place]
    return key, data(content)


def _alike(value: Any) -> st.SearchStrategy[Any]:
    """More often of the same type than not, so that many records are readable."""
    match value:
        case bool():
            return st.booleans()
        case int() | float():
            return st.one_of(_NUMBERS, st.integers(0, 2**20), _ANY)
        case str():
            return st.one_of(_TEXTS, _TEXTS, _ANY)
        case _:
            return _ANY

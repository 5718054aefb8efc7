"""What is told of a child that ended: a sentence, whatever stack stands around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.box import full_disk
from mesh.local import logs
from mesh.local.last_words import fatal, last, said

FREE_SOME = "; free some, or give another state folder (--state-dir, or $MESH_STATE_DIR)"

# What etcd 3.5.1 wrote on a full disk, its stacks shortened.
NO_SPACE = r"""{"level":"warn","ts":"2026-12-01T04:53:54.897Z","caller":"wal/wal.go:148","msg":"failed to preallocate an initial WAL file","path":"/s/0.wal","segment-bytes":64000000,"error":"no space left on device"}
{"level":"panic","ts":"2026-12-01T04:53:54.897Z","caller":"etcdserver/raft.go:433","msg":"failed to create WAL","error":"no space left on device","stacktrace":"go.etcd.io/etcd/server/v3/etcdserver.startNode\n\t/tmp/raft.go:433\nSTACK"}
panic: failed to create WAL

goroutine 1 [running]:
go.uber.org/zap/zapcore.(*CheckedEntry).Write(0xc0005783c0, 0xc0000af4c0, 0x1, 0x1)
	/home/x/go.uber.org/zap@v1.17.0/zapcore/entry.go:234 +0x58d
main.main()
	/tmp/main.go:32 +0x45
"""  # noqa: E501
LONG = NO_SPACE.replace("STACK", "x" * 5000)
OUT_OF_MEMORY = """{"level":"warn","msg":"up"}
runtime: out of memory: cannot allocate 4194304-byte block
fatal error: failed to reserve page summary memory

runtime stack:
runtime.throw(0x12f2a2f, 0x26)
\t/go/src/runtime/panic.go:1117 +0x72 fp=0x7ffd sp=0x7ffd pc=0x43a5b2
goroutine 1 [running]:
main.main()
\t/go/x.go:1 +0x125
created by go.etcd.io/etcd/server/v3/etcdserver.openBackend
\t/tmp/etcd/backend.go:75 +0x12b
"""
BUS_ERROR = """unexpected fault address 0x7f2b5c001000
fatal error: fault
[signal SIGBUS: bus error code=0x2 addr=0x7f2b5c001000 pc=0x8d2f1c]

goroutine 92 [running]:
runtime.throw(0x11e5c3a, 0x5)
\t/go/runtime/panic.go:1117 +0x72
rax    0x0
exit status 2
"""
CUT_IN_A_STACK = """go.etcd.io/bbolt.(*DB).grow(0xc000332000, 0x1000000)
\t/go/bbolt/db.go:1023 +0x1b2
main.main()
{"level":"fatal","msg":"open backend","error":"file is locked"}
"""
GROUP = """2026-12-01T00:00:00.000+00:00 INFO node x ready
  + Exception Group Traceback (most recent call last):
  |   File "x.py", line 1, in main
  |     await it()
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "y.py", line 2, in it
    |     raise FileNotFoundError
    | FileNotFoundError: [Errno 2] No such file or directory: '/proc/stat'
    +------------------------------------
"""
CHAINED = """Traceback (most recent call last):
  File "x.py", line 1, in main
    {}["x"]
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "y.py", line 2, in it
    raise OSError(28)
OSError: [Errno 28] No space left on device
"""
FAULT_HANDLER = """2026-12-01T00:00:00.000+00:00 INFO node x loading qwen
Fatal Python error: Segmentation fault

Current thread 0x00007f2b5c001000 (most recent call first):
  File "/x/llama.py", line 12 in decode
  File "/x/child.py", line 99 in step

Extension modules: numpy.core._multiarray_umath (total: 1)
"""
GRPC_REMARK = """{"level":"fatal","msg":"discovery failed","error":"listen tcp: bind: in use"}
WARNING: 2026/12/01 04:54:01 [core] grpc: addrConn.createTransport failed to connect to {127.0.0.1}
"""

TABLE = {
    "no space": (NO_SPACE, f"failed to create WAL: no space left on device{FREE_SOME}"),
    "a line that is cut": (LONG, f"failed to create WAL: no space left on device{FREE_SOME}"),
    "out of memory": (OUT_OF_MEMORY, "failed to reserve page summary memory"),
    "a disk that fills under a map": (BUS_ERROR, "fault"),
    "a log cut in a stack": (CUT_IN_A_STACK, "open backend: file is locked"),
    "an exception group": (GROUP, "No such file or directory: '/proc/stat'"),
    "an exception after another": (CHAINED, f"No space left on device{FREE_SOME}"),
    "a native crash": (FAULT_HANDLER, "Segmentation fault"),
    "etcd's own remarks after it": (
        GRPC_REMARK,
        "discovery failed: listen tcp: bind: in use",
    ),
    "our own": (
        "2026-12-01T00:00:00.000+00:00 ERROR node x slots: 1!\n",
        "slots: 1!",
    ),
    "plain": ("one\ntwo\n", "two"),
    "nothing": ("", ""),
}


def lines_of(log: str, folder: Path) -> list[str]:
    path = folder / "x.log"
    path.write_text(log, encoding="utf-8")
    return logs.tail(path, 1000)


@pytest.mark.parametrize("case", TABLE)
def test_a_childs_end_is_told_in_a_sentence(case: str, tmp_path: Path) -> None:
    log, wanted = TABLE[case]
    assert last(lines_of(log, tmp_path)) == wanted


@pytest.mark.parametrize("case", TABLE)
def test_no_line_of_a_stack_is_ever_told(case: str, tmp_path: Path) -> None:
    told = "\n".join(said(lines_of(TABLE[case][0], tmp_path)))
    for sign in ("goroutine", ".go:", "stacktrace", "0xc0", "Traceback", 'File "', "{", "xxxx"):
        assert sign not in told, told


def test_what_was_no_end_is_not_called_one() -> None:
    assert (
        fatal(["2026-12-01T00:00:00.000+00:00 INFO node x ready", '{"level":"warn","msg":"m"}'])
        == ""
    )
    assert fatal(["panic: it broke", "goroutine 1 [running]:"]) == "it broke"


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (GROUP, ["ready", "No such file or directory: '/proc/stat'"]),
        (CHAINED, ["KeyError: 'x'", "No space left on device"]),
        ('{"level":"info"}\ntwo\n', ["two"]),
        (
            'one\ntwo\n{"level":"panic","msg":"no WAL","error":"full"}\npanic: no WAL\nthree\n',
            ["one", "two", "no WAL: full", "three"],
        ),
        ("panic: one\npanic: two\n", ["one", "two"]),
        (r'{"level":"info","msg":"say \"hi\""}', ['say "hi"']),
    ],
)
def test_what_is_told_of_a_log_is_all_that_says_something(
    log: str, told: list[str], tmp_path: Path
) -> None:
    assert said(lines_of(log, tmp_path)) == told


def test_a_disk_with_room_is_not_called_full(tmp_path: Path) -> None:
    assert full_disk(tmp_path) is None
    assert full_disk(tmp_path / "none") is None

"""Generates ``mesh/v1`` from ``proto/mesh/v1``; ``--check`` fails where the committed differs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent


def generate(out: Path) -> list[Path]:
    """Writes the modules and stubs below ``out`` and returns them."""
    sources = sorted((ROOT / "proto").rglob("*.proto"))
    arguments = ["protoc", f"-I{ROOT / 'proto'}"]
    arguments += [f"--{kind}={out}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    if protoc.main([*arguments, *map(str, sources)]) != 0:
        raise SystemExit("protoc failed; its message is above")
    return sorted(p for p in out.rglob("*") if "_pb2" in p.name)


def check() -> int:
    with tempfile.TemporaryDirectory() as folder:
        fresh = generate(Path(folder))
        stale = [
            str(path.relative_to(folder))
            for path in fresh
            if not (ROOT / path.relative_to(folder)).exists()
            or (ROOT / path.relative_to(folder)).read_bytes() != path.read_bytes()
        ]
    for name in stale:
        print(f"{name} does not match proto/: run `make proto`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(check())
    generate(ROOT)

"""``import mesh`` is the SDK's face: every name is there, and costs nothing before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mesh


@pytest.mark.parametrize("name", mesh.__all__)
def test_every_name_of_the_face_is_there(name: str) -> None:
    assert getattr(mesh, name) is not None


def test_the_face_lists_all_that_it_has() -> None:
    assert sorted({*mesh._HOME, "__version__"}) == sorted(mesh.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'mesh' has no attribute 'conect'"):
        _ = mesh.conect


def test_importing_mesh_imports_no_grpc() -> None:
    code = "import mesh, sys; print('grpc' in sys.modules, 'asyncio' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]

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
    assert sorted({*mesh._HOME, *mesh._MODULES, "__version__"}) == sorted(mesh.__all__)


def test_errors_and_messages_are_had_from_the_face() -> None:
    assert mesh.errors.InvalidRequest is mesh.InvalidRequest
    assert issubclass(mesh.Overloaded, mesh.NotServed)
    asked = mesh.Message(role=mesh.Role.USER, parts=(mesh.Text("what is this?"),))
    assert asked == mesh.Message.of(mesh.Role.USER, "what is this?")


def test_every_error_that_a_request_may_end_in_is_had_from_the_face() -> None:
    settings = {"bad_rule", "bad_model_file", "port_in_use", "duplicate_node"}
    inside = {"engine_lost", "form_lost", "form_explodes", "draining", "unread"}
    doors = {"bad_ticket", "registry_unavailable"}
    elsewhere = {
        code for code, error in mesh.errors.BY_CODE.items() if not hasattr(mesh, error.__name__)
    }
    assert elsewhere == settings | inside | doors


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'mesh' has no attribute 'conect'") as raised:
        _ = mesh.conect
    assert (raised.value.name, raised.value.obj) == ("conect", mesh), "Python asks what was meant"


def test_importing_mesh_imports_no_grpc() -> None:
    code = "import mesh, sys; print('grpc' in sys.modules, 'asyncio' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]

"""A grammar or a schema on its way: SDK, CLI, wire, runner."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mesh.cli.main import cli
from mesh.client.request import request_of
from mesh.errors import InvalidRequest
from mesh.protobuf.request import sampling_from_wire, sampling_to_wire
from mesh.types import Sampling
from mesh.v1 import mesh_pb2 as pb
from node.runner import messages as m
from tests.fake_mesh import FakeMesh, serving
from tests.integration.test_runner_child import child, load, request
from tests.toy_models import toy_model

SCHEMA = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}


@pytest.mark.parametrize(
    "sampling", [Sampling(grammar='root ::= "é"'), Sampling(json_schema="{}"), Sampling()]
)
def test_it_survives_both_wires(sampling: Sampling) -> None:
    wire = sampling_to_wire(sampling).SerializeToString()
    assert asdict(sampling_from_wire(pb.Sampling.FromString(wire))) == asdict(sampling)
    (opened,) = m.at_runner().read(m.encode(request(1, sampling=sampling)))
    assert isinstance(opened, m.Open)
    assert opened.opening.sampling == sampling


def test_the_sdk_takes_a_schema_as_text_or_as_a_mapping() -> None:
    for schema in (SCHEMA, json.dumps(SCHEMA)):
        sent = request_of("hi", {"json_schema": schema}, None).sampling.json_schema
        assert sent is not None
        assert json.loads(sent) == SCHEMA
    assert request_of("hi", {"grammar": "root ::= x"}, None).sampling.grammar == "root ::= x"
    with pytest.raises(InvalidRequest, match="json_schema is not JSON"):
        request_of("hi", {"json_schema": {"a": object()}}, None)
    with pytest.raises(InvalidRequest, match="exclude each other"):
        request_of("hi", {"json_schema": "{}", "grammar": "root ::= x"}, None)


def test_the_cli_reads_them_from_files(tmp_path: Path) -> None:
    schema, grammar = tmp_path / "schema.json", tmp_path / "answer.gbnf"
    schema.write_text(json.dumps(SCHEMA))
    grammar.write_text('root ::= "yes"')
    mesh = FakeMesh()
    with serving(mesh):
        for arguments in (["--json-schema", str(schema)], ["--grammar", str(grammar)]):
            command = ["ask", "hi", "--endpoint", mesh.endpoint, *arguments]
            assert CliRunner().invoke(cli, command).exit_code == 0
    assert json.loads(mesh.requests[0].sampling.json_schema) == SCHEMA
    assert not mesh.requests[0].sampling.HasField("grammar")
    assert mesh.requests[1].sampling.grammar == 'root ::= "yes"'


def test_a_file_that_is_no_text_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\xff")
    result = CliRunner().invoke(cli, ["ask", "hi", "--grammar", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert "not UTF-8" in result.output


@pytest.mark.parametrize("changes", [{"grammar": 'root ::= "a"'}, {"json_schema": "{}"}])
def test_an_engine_that_cannot_keep_to_a_form_refuses_it(changes: dict[str, Any]) -> None:
    with child() as (agent, _):
        agent.send(load(), request(1, sampling=Sampling(**changes)))
        rejected = agent.receive(m.Rejected)
        assert rejected.code == "cannot_answer"
        assert "grammar or JSON schema" in rejected.message
        agent.send(request(2))
        assert agent.receive(m.Done).sequence == 2


@pytest.mark.engine
def test_a_runner_answers_in_json_and_refuses_a_bad_grammar_before_any_token() -> None:
    with child() as (agent, _):
        spec = load().spec
        source = str(toy_model("chat"))
        spec = type(spec)(id="chat", source=source, slots=1, context_length=256, threads=1)
        agent.send(m.Load(engine="llama_cpp", spec=spec))
        agent.receive(m.Loaded)
        agent.send(request(1, sampling=Sampling(grammar="root ::= nosuch")))
        rejected = agent.receive(m.Rejected)
        assert (rejected.code, "no rule is called" in rejected.message) == ("invalid_request", True)
        sampling = Sampling(json_schema=json.dumps(SCHEMA), max_tokens=60)
        agent.send(request(2, sampling=sampling))
        text = ""
        while not text.rstrip().endswith("}"):
            text += "".join(piece.text for piece in agent.receive(m.Pieces).pieces)
        assert json.loads(text)["a"] in (True, False)

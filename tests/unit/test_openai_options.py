"""Options of engine ``openai`` are checked by name, and its secrets never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.errors import ConfigError
from node.engines.base import ModelSpec
from node.engines.openai.options import access, read_options

URL = "http://127.0.0.1:8000/v1"
SECRET = "sk-very-secret-1234"


def spec(**options: Any) -> ModelSpec:
    return ModelSpec(id="m", source="tiny", slots=1, context_length=512, threads=1, options=options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs option base_url"),
        ({"base_url": ""}, "needs option base_url"),
        ({"base_url": "box:8000"}, "http://HOST:PORT/v1"),
        ({"base_url": "ftp://box"}, "http://HOST:PORT/v1"),
        ({"base_url": "http://"}, "http://HOST:PORT/v1"),
        ({"base_url": "http://a b/v1"}, "blanks"),
        ({"base_url": "http://bäx/v1"}, "no URL has"),
        ({"base_url": "http://box:99999"}, "base_url"),
        ({"base_url": "http://box/v1?key=1"}, "without '\\?'"),
        ({"base_url": "http://[::1"}, "no URL"),
        ({"base_url": f"http://me:{SECRET}@box/v1"}, "api_key_file"),
        ({"base_url": URL, "proxy": f"http://me:{SECRET}@box"}, "proxy"),
        ({"base_url": URL, "api_key": SECRET}, "'api_key'; give api_key_file"),
        ({"base_url": URL, "wrods": 3}, "'wrods'.*known: api_key_env"),
        ({"base_url": URL, "retries": "many"}, "retries"),
        ({"base_url": URL, "retries": 11}, "retries must be 0 to 10"),
        ({"base_url": URL, "retry_within_s": -1}, "retry_within_s"),
        ({"base_url": URL, "token_timeout_s": 0}, "token_timeout_s"),
        ({"base_url": URL, "token_timeout_s": 60}, "token_timeout_s .* at most 50"),
        ({"base_url": URL, "first_token_timeout_s": float("nan")}, "first_token_timeout_s"),
        ({"base_url": URL, "tier": "free"}, "tier"),
        ({"base_url": URL, "server": "lmstudio"}, "server"),
        ({"base_url": URL, "continue": "maybe"}, "continue"),
        ({"base_url": URL, "input_price": -1}, "input_price"),
        ({"base_url": URL, "output_price": float("inf")}, "output_price"),
        ({"base_url": URL, "api_key_file": "x", "api_key_env": "Y"}, "not both"),
        ({"base_url": URL, "body": {"messages": []}}, "body may not set 'messages'"),
    ],
)
def test_a_bad_option_is_refused_by_name_and_without_secrets(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as refusal:
        read_options(spec(**options))
    assert SECRET not in refusal.value.message


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://box:8000", "http://box:8000/v1"),
        ("http://box:8000/", "http://box:8000/v1"),
        ("https://host/api/v1/", "https://host/api/v1"),
        ("https://host/openai", "https://host/openai"),
    ],
)
def test_without_a_path_the_interface_is_below_v1(given: str, base: str) -> None:
    assert access(read_options(spec(base_url=given)), "m").base_url == base


def test_the_key_comes_from_a_file_or_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    monkeypatch.setenv("UPSTREAM_KEY", SECRET)
    for option in ({"api_key_file": str(file)}, {"api_key_env": "UPSTREAM_KEY"}):
        options = read_options(spec(base_url=URL, **option))
        found = access(options, "m")
        assert found.headers == {"Authorization": f"Bearer {SECRET}"}
        assert SECRET not in repr(options)
        assert found.scrubbed(f"bad key {SECRET}!") == "bad key ***!"


@pytest.mark.parametrize("content", ["", " \n", f"{SECRET}\n{SECRET}", "kéy", "a b", "x\0y"])
def test_a_key_that_is_none_is_refused_unseen(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(ConfigError, match="api_key_file") as refusal:
        access(read_options(spec(base_url=URL, api_key_file=str(file))), "m")
    assert SECRET not in refusal.value.message


def test_missing_files_and_variables_are_named(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    for options, words in (
        ({"api_key_file": absent}, "api_key_file .*absent: No such file"),
        ({"api_key_env": "NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE is empty"),
        ({"headers_file": absent}, "headers_file"),
        ({"ca_file": absent}, "ca_file"),
        ({"ca_file": __file__}, "ca_file"),
    ):
        with pytest.raises(ConfigError, match=words):
            access(read_options(spec(base_url=URL, **options)), "m")


def test_headers_come_from_lines_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text(f"# mine\n\nX-Title: my mesh\nX-Key:{SECRET}\n")
    found = access(read_options(spec(base_url=URL, headers_file=str(file))), "m")
    assert found.headers == {"X-Title": "my mesh", "X-Key": SECRET}
    assert SECRET not in found.scrubbed(f"no {SECRET}")


@pytest.mark.parametrize(
    "line", ["nothing", ": x", "X Y: z", "X-Key:", "X: a\x01b", "X: é", "Host: other", "X\r: y"]
)
def test_a_line_that_is_no_header_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    file = tmp_path / "headers"
    file.write_text(f"A: b\n{line}")
    with pytest.raises(ConfigError, match="headers_file"):
        access(read_options(spec(base_url=URL, headers_file=str(file))), "m")

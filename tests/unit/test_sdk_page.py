"""docs/sdk.md is what the docstrings say, and all that a program may call is on it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import mesh
from mesh.client import reference
from mesh.client.reference import main, page, prose

PAGE = page()
CALLED = ["Client", "SyncClient", "Generation", "Conversation", "SyncConversation", "Answer"]


def test_the_page_is_as_the_code_has_it() -> None:
    assert reference.TARGET.read_text(encoding="utf-8") == PAGE, (
        "run python -m mesh.client.reference"
    )
    assert main(["--check"]) == 0


def test_a_page_that_is_out_of_date_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reference, "TARGET", tmp_path / "docs" / "sdk.md")
    assert main(["--check"]) == 1
    assert "run `python -m mesh.client.reference`" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0
    reference.TARGET.write_text(PAGE + "more")
    assert main(["--check"]) == 1


@pytest.mark.parametrize("name", sorted(set(mesh.__all__) - {"__version__", "errors"}))
def test_every_name_of_the_face_is_on_the_page(name: str) -> None:
    assert f"### `{name}`" in PAGE or f"`{name}`" in PAGE.partition("By name in `mesh`: ")[2]


@pytest.mark.parametrize("name", CALLED)
def test_whatever_may_be_called_says_what_it_does(name: str) -> None:
    kind = getattr(mesh, name)
    for member in vars(kind):
        if not member.startswith("_"):
            documented: Any = inspect.getattr_static(kind, member)
            field = not (callable(documented) or isinstance(documented, property))
            assert field or inspect.getdoc(getattr(kind, member)), member


def test_a_docstring_becomes_markdown() -> None:
    doc = "One ``word`` and\nanother.\n\n::\n\n    first()\n\n    second()\n\nAnd:\n\n    a tree"
    assert "\n".join(prose(doc)) == (
        "One `word` and another.\n\n```python\nfirst()\n\nsecond()\n```\n\nAnd:\n\n"
        "```text\na tree\n```\n"
    )


def test_options_and_signatures_are_as_one_writes_them() -> None:
    assert "| `timeout_s` | `float \\| None` |" in PAGE
    assert "await client.ask(prompt: Prompt, **options: RequestOptions) -> Answer" in PAGE
    assert "client.conversation(*, system: str | None = None, **options: RequestOptions)" in PAGE
    assert "| `await Client.aclose` | `SyncClient.close` |" in PAGE
    assert "- `length`: max_tokens reached" in PAGE

"""Writes docs/sdk.md from the docstrings: `python -m mesh.client.reference [--check]`."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import msgspec

import mesh
from mesh.made_page import keep

TARGET = Path(__file__).parents[2] / "docs" / "sdk.md"

HEAD = """# The SDK

Made from the code by `python -m mesh.client.reference`; do not edit it by hand.

"""

# What a reader looks for, in this order. A name is of `mesh`, or of the module before its colon.
SECTIONS: dict[str, tuple[str, ...]] = {
    "Connecting": ("connect", "ConnectOptions", "Client"),
    "Without an event loop": (
        "connect_sync",
        "SyncClient",
        "SyncGeneration",
        "SyncEvents",
        "SyncConversation",
    ),
    "What a call says": (
        "Prompt",
        "RequestOptions",
        "mesh.types:SaidSampling",
        "Priority",
        "EmbedOptions",
        "FleetOptions",
    ),
    "Messages": ("Message", "Role", "Part", "Text", "Image", "ToolCall", "ToolResult"),
    "Answers": ("Answer", "Generation", "Chunk", "Conversation"),
    "Events": (
        "StreamEvent",
        "EventStream",
        "Events",
        "Decided",
        "Assigned",
        "Waiting",
        "Progress",
        "Tokens",
        "Piece",
        "Done",
        "FinishReason",
        "Resume",
    ),
    "Routes": (
        "Route",
        "Ready",
        "Decision",
        "mesh.types:StageVerdict",
        "mesh.types:Alternative",
        "mesh.types:Manner",
        "Candidate",
    ),
    "Embeddings": ("Embeddings",),
    "The fleet": (
        "FleetStatus",
        "NodeStatus",
        "mesh.fleet.records:NodeRecord",
        "mesh.fleet.records:ModelRecord",
        "mesh.fleet.records:OrchestratorRecord",
        "mesh.stream:Unreadable",
    ),
}
# The same methods in other words; their own differ in nothing else.
SYNC = {
    "SyncClient": "Client",
    "SyncGeneration": "Generation",
    "SyncEvents": "EventStream",
    "SyncConversation": "Conversation",
}
_COMMENTED = re.compile(r"^    [A-Z_]+ = \"(\w+)\"(?:  # (.*))?$", re.MULTILINE)
_UNPACKED = re.compile(r"Unpack\[(\w+)\]")
_WORDS = re.compile(r"[A-Z][a-z]+")
_LONGEST = 40  # characters of a default that is worth reading
_RAW = re.compile(r"``(.+?)``", re.DOTALL)


def page() -> str:
    """The whole of it."""
    parts = [HEAD, "\n".join(prose(inspect.getdoc(mesh) or "")), ""]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts += _entry(name)
    parts += _errors()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _entry(name: str) -> list[str]:
    thing = _found(name)
    lines = [f"### `{name.rpartition(':')[2]}`", ""]
    if inspect.isfunction(thing):
        return [*lines, *_signature("mesh", thing), *prose(_doc(thing)), ""]
    if not isinstance(thing, type):
        return [*lines, f"`{_type(thing)}`", ""]
    lines += [*prose(_doc(thing)), ""]
    if thing.__name__ in SYNC:
        return lines + _pairs(thing)
    if issubclass(thing, Enum):
        return lines + _values(thing)
    what = "option" if is_typeddict(thing) else "field"
    return lines + _table(what, _fields(thing)) + _members(thing)


def _found(name: str) -> Any:
    module, _, attribute = name.rpartition(":")
    return getattr(import_module(module or "mesh"), attribute)


def _doc(thing: Any) -> str:
    """Its own: not what it inherits, nor the signature that a dataclass has for one."""
    own = vars(thing).get("__doc__") if isinstance(thing, type) else thing.__doc__
    return "" if own is None or own.startswith(f"{thing.__name__}(") else inspect.cleandoc(own)


def _members(kind: type) -> list[str]:
    """Properties and methods of its own, the properties first."""
    own = [(n, m) for n, m in vars(kind).items() if not n.startswith("_")]
    lines = [
        f"- `.{name}`: {' '.join(prose(inspect.getdoc(member) or '')).strip()}"
        for name, member in own
        if isinstance(member, property)
    ]
    lines += [""] if lines else []
    for name, member in own:
        function = member.__func__ if isinstance(member, classmethod) else member
        if inspect.isfunction(function):
            of_kind = isinstance(member, classmethod)
            owner = kind.__name__ if of_kind else _WORDS.findall(kind.__name__)[-1].lower()
            lines += [f"#### `{kind.__name__}.{name}`", "", *_signature(owner, function)]
            lines += [*prose(inspect.getdoc(getattr(kind, name)) or ""), ""]
    return lines


def _pairs(kind: type) -> list[str]:
    """Each name beside that of the other front."""
    other = getattr(mesh, SYNC[kind.__name__])
    ends = {"aclose": "close"}
    rows = []
    for name in (n for n in dir(other) if not n.startswith("_")):
        member = inspect.getattr_static(other, name)
        plain = f"{other.__name__}.{name}"
        plain = f"await {plain}" if inspect.iscoroutinefunction(member) else plain
        rows.append(f"| `{plain}` | `{kind.__name__}.{ends.get(name, name)}` |")
    return ["| with an event loop | without |", "|---|---|", *rows, ""]


def _signature(owner: str, function: Callable[..., Any]) -> list[str]:
    parameters: list[str] = []
    found = inspect.signature(function)
    named = False
    for each in found.parameters.values():
        if each.name in ("self", "cls"):
            continue
        if each.kind is each.KEYWORD_ONLY and not named:
            named = True
            parameters.append("*")
        stars = "**" if each.kind is each.VAR_KEYWORD else ""
        default = "" if each.default is each.empty else f" = {each.default!r}"
        kind = _UNPACKED.sub(r"\1", str(each.annotation))
        parameters.append(f"{stars}{each.name}: {kind}{default}")
    awaited = "await " if inspect.iscoroutinefunction(function) else ""
    said = f"{awaited}{owner}.{function.__name__}({', '.join(parameters)})"
    return ["```python", f"{said} -> {found.return_annotation}", "```", ""]


def _fields(kind: type) -> list[tuple[str, str, str]]:
    """Name, type and default of each."""
    hints = {name: _type(hint) for name, hint in get_type_hints(kind).items()}
    if dataclasses.is_dataclass(kind):
        return [
            (each.name, hints[each.name], _default(each.default, dataclasses.MISSING))
            for each in dataclasses.fields(kind)
        ]
    if issubclass(kind, msgspec.Struct):
        return [
            (each.name, hints[each.name], _default(each.default, msgspec.NODEFAULT))
            for each in msgspec.structs.fields(kind)
        ]
    return [(name, hint, "") for name, hint in hints.items()] if is_typeddict(kind) else []


def _type(hint: Any) -> str:
    """As one writes it, without where it is from."""
    inner = get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(map(_type, inner))
    if inner:
        return f"{get_origin(hint).__name__}[{', '.join(map(_type, inner))}]"
    if hint is Ellipsis or hint is NoneType:
        return "..." if hint is Ellipsis else "None"
    return str(getattr(hint, "__name__", hint))


def _default(value: Any, nothing: Any) -> str:
    if value is nothing:
        return ""
    said = repr(value.value if isinstance(value, Enum) else value)
    return f"`{said}`" if len(said) < _LONGEST else f"`{type(value).__name__}(…)`"


def _table(what: str, rows: list[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return []
    shown = any(default for _, _, default in rows)
    head = [f"| {what} | type | default |", "|---|---|---|"]
    if not shown:
        head = [f"| {what} | type |", "|---|---|"]
    for name, kind, default in rows:
        cells = [f"`{name}`", f"`{kind}`", default] if shown else [f"`{name}`", f"`{kind}`"]
        head.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*head, ""]


def _values(kind: type[Enum]) -> list[str]:
    """With what is said of them beside them."""
    said = _COMMENTED.findall(inspect.getsource(kind))
    return [f"- `{value}`" + (f": {why}" if why else "") for value, why in said] + [""]


def _errors() -> Iterator[str]:
    yield "## Errors\n"
    yield from prose(inspect.getdoc(mesh.errors) or "")
    yield ""
    yield "### `MeshError`\n"
    yield from prose(inspect.getdoc(mesh.MeshError) or "")
    yield ""
    yield from _table(
        "field",
        [
            ("code", "str", ""),
            ("message", "str", ""),
            ("node_id", "str | None", ""),
            ("request_id", "str | None", ""),
            ("retry_after_s", "float | None", ""),
        ],
    )
    faces = sorted(e.__name__ for e in mesh.errors.BY_CODE.values() if e.__name__ in mesh.__all__)
    names = ", ".join(f"`{name}`" for name in faces)
    yield f"By name in `mesh`: {names}; the others in `mesh.errors`."


def prose(doc: str) -> Iterator[str]:
    """A docstring as Markdown: indented blocks are code, of Python behind a ``::``."""
    python = False
    blocks = re.split(r"\n\s*\n", doc.strip("\n"))
    code: list[str] = []
    for block in [*blocks, ""]:
        if block.startswith("    "):
            code.append(textwrap.dedent(block))
            continue
        if code:
            yield from [f"```{'python' if python else 'text'}", "\n\n".join(code), "```", ""]
            code, python = [], False
        if block.strip() == "::":
            python = True
        elif block:
            python = block.rstrip().endswith("::")
            yield from [_RAW.sub(r"`\1`", " ".join(block.split())), ""]


def main(arguments: list[str]) -> int:
    """Exit code 1 when ``--check`` finds the page out of date."""
    return keep(page(), TARGET, "mesh.client.reference", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

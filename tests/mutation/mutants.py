"""Mutants of one module: mutmut makes them, this leaves out those of texts and draws the sample."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import cast

import libcst as cst
from mutmut.mutation.file_mutation import (
    Mutation,
    combine_mutations_to_source,
    create_mutations,
    deep_replace,
)
from mutmut.mutation.trampoline_templates import mangle_function_name

_LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})


@dataclass(frozen=True)
class Mutant:
    mutation: Mutation
    function: str
    """`function` or `Class.method`."""
    line: int
    removed: str
    added: str
    """The lines that differ, without indentation, joined by a space."""
    nth: int
    """Which of several that read the same in one function."""

    def rank(self, seed: int) -> bytes:
        """Where the mutant stands in the draw: by what it says and not by its number, so that an
        edit of one function leaves the sample of the others as it was."""
        said = "\0".join((str(seed), self.function, self.removed, self.added, str(self.nth)))
        return hashlib.sha256(said.encode()).digest()


class Mutants:
    def __init__(self, path: Path) -> None:
        source = path.read_text()
        self._module, mutations, _, _ = create_mutations(str(path), source)
        texts = set(_texts(self._module))
        self.all = tuple(_described(self._module, source, mutations, texts))

    def source(self, drawn: list[Mutant]) -> tuple[str, list[str]]:
        """The module with these mutants behind switches, and the switch of each."""
        made = combine_mutations_to_source(self._module, [mutant.mutation for mutant in drawn])
        # mutmut numbers the mutants of a function in the order in which they were handed over
        count: Counter[str] = Counter()
        names: list[str] = []
        for mutant in drawn:
            owner, _, method = mutant.function.rpartition(".")
            stem = mangle_function_name(name=method, class_name=owner or None)
            count[stem] += 1
            names.append(f"{stem}__mutmut_{count[stem]}")
        if set(names) != set(made.mutant_names):
            raise ValueError(f"mutmut names its mutants in another way: {made.mutant_names[:3]}")
        return made.code, names


def _described(
    module: cst.Module, source: str, mutations: list[Mutation], texts: set[int]
) -> Iterator[Mutant]:
    owners = _owners(module)
    lines = _first_lines(source)
    code: dict[str, list[str]] = {}
    seen: Counter[tuple[str, str, str]] = Counter()
    for mutation in mutations:
        function = mutation.contained_by_top_level_function
        if not isinstance(function, cst.FunctionDef) or id(function) not in owners:
            continue
        if id(mutation.original_node) in texts or _changes_a_text(mutation):
            continue
        name = owners[id(function)]
        if name not in code:
            code[name] = _lines_of(function)
        changed = deep_replace(function, mutation.original_node, mutation.mutated_node)
        offset, removed, added = _difference(code[name], _lines_of(cast(cst.FunctionDef, changed)))
        nth = seen[name, removed, added]
        seen[name, removed, added] += 1
        yield Mutant(mutation, name, lines[name] + offset, removed, added, nth)


def _texts(module: cst.CSTNode) -> Iterator[int]:
    """All that lies inside a text or a line of a log: its mutants are another wording."""
    todo: list[tuple[cst.CSTNode, bool]] = [(module, False)]
    while todo:
        node, inside = todo.pop()
        inside = inside or _is_text(node) or _logs(node)
        if inside:
            yield id(node)
        todo.extend((child, inside) for child in node.children)


def _is_text(node: cst.CSTNode | None) -> bool:
    """A literal, or a sum of which a part is one."""
    match node:
        case cst.BinaryOperation(left=left, right=right):
            return _is_text(left) or _is_text(right)
    return isinstance(node, cst.BaseString)


def _logs(node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Attribute)
        and node.func.attr.value in _LOG_METHODS
        and isinstance(node.func.value, cst.Name)
        and node.func.value.value.lower().strip("_") in {"log", "logger"}
    )


def _changes_a_text(mutation: Mutation) -> bool:
    """A text left out, or None in its place: an argument of a call, an assigned value."""
    before, after = mutation.original_node, mutation.mutated_node
    match before:
        case cst.Call(args=args) if isinstance(after, cst.Call):
            kept = {id(argument) for argument in after.args}
            gone = [argument for argument in args if id(argument) not in kept]
            return bool(gone) and all(_is_text(each.value) for each in gone)
        case cst.Assign(value=value) | cst.AnnAssign(value=value):
            return _is_text(value)
    return False


def _owners(module: cst.Module) -> dict[int, str]:
    owners: dict[int, str] = {}
    for node in module.body:
        if isinstance(node, cst.FunctionDef):
            owners[id(node)] = node.name.value
        elif isinstance(node, cst.ClassDef):
            for method in node.body.body:
                if isinstance(method, cst.FunctionDef):
                    owners[id(method)] = f"{node.name.value}.{method.name.value}"
    return owners


def _first_lines(source: str) -> dict[str, int]:
    first: dict[str, int] = {}
    for node in ast.parse(source).body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for each in inner:
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)):
                start = min([each.lineno, *(mark.lineno for mark in each.decorator_list)])
                first[prefix + each.name] = start
    return first


def _lines_of(function: cst.FunctionDef) -> list[str]:
    return cst.Module([function.with_changes(leading_lines=[])]).code.strip().split("\n")


def _difference(before: list[str], after: list[str]) -> tuple[int, str, str]:
    """How many lines down the first difference is, and the lines that differ."""
    removed, added, offset = [], [], None
    at = 0
    for line in list(unified_diff(before, after, lineterm="", n=len(before)))[3:]:
        if line.startswith(" "):
            at += 1
            continue
        offset = at if offset is None else offset
        if line.startswith("-"):
            removed.append(line[1:].strip())
            at += 1
        else:
            added.append(line[1:].strip())
    return offset or 0, " ".join(removed), " ".join(added)

"""A GGUF model in several files: which they are, and whether they are one model.

llama.cpp finds the further ones by the first one's name (``llama_split_path``), so a link's own
name counts: the hub's cache is links into blobs that are named by their hash.
"""

from __future__ import annotations

import re
from pathlib import Path

from mesh.errors import ModelFileError
from node.models.gguf_header import Header, read_header

MOST_PARTS = 999
MOST_LINKS = 16

_PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
_SHOWN = 4


def names(name: str) -> list[str]:
    """The names of all files of the model of which ``name`` is one; of a whole one that alone."""
    match = _PART.fullmatch(name)
    if match is None or not 1 < int(match[3]) <= MOST_PARTS:
        return [name]
    count = int(match[3])
    return [f"{match[1]}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]


def ways(path: Path) -> list[Path]:
    """``path``, and where it leads if it is a link, link by link. Raises ``OSError`` for links
    without end."""
    found = [path]
    while found[-1].is_symlink():
        if len(found) > MOST_LINKS:
            raise OSError(0, "a link that leads to links without end")
        found.append(found[-1].parent / found[-1].readlink())
    return found


def with_all_beside(paths: list[Path]) -> Path:
    """Of several names of one file the first beside which all parts of its model are."""
    named = [path for path in paths if _PART.fullmatch(path.name)]
    for path in named:
        if all(path.with_name(name).is_file() for name in names(path.name)):
            return path
    return (named or paths)[0]


def headers(path: Path, header: Header) -> tuple[Header, ...]:
    """``header``, of the first part at ``path``, and those of the further parts. Raises
    ``ModelFileError`` for a part that is missing, that is another than its name says, or that is of
    another model."""
    count = header.values.get("split.count")
    if not isinstance(count, int) or count <= 1:
        return (header,)
    match = _PART.fullmatch(path.name)
    if match is None or int(match[3]) != count:
        raise ModelFileError(
            f"{path} is a part of a model in {count} files and its name does not say so; rename "
            f"the files to NAME-00001-of-{count:05d}.gguf and so on, or join them with "
            "`llama-gguf-split --merge`"
        )
    if count > MOST_PARTS:
        raise ModelFileError(f"{path} is of a model in {count} files; at most {MOST_PARTS} are")
    files = [path.with_name(name) for name in names(path.name)]
    if int(match[2]) != 1:
        raise ModelFileError(
            f"{path} is part {int(match[2])} of {count} of a model; give the first, {files[0]}"
        )
    _check_all_there(path, files)
    found = (header, *map(read_header, files[1:]))
    seen: dict[str, Path] = {}
    for number, (file, part) in enumerate(zip(files, found, strict=True)):
        _check_part(file, part, number, count)
        for tensor in part.tensors:
            if tensor.name in seen:
                raise ModelFileError(
                    f"{file} has weights that {seen[tensor.name].name} has too: they are no parts "
                    "of one model; download all of them again"
                )
            seen[tensor.name] = file
    total = header.values.get("split.tensors.count", len(seen))
    if total != len(seen):
        raise ModelFileError(
            f"the model {path} says that it has {total} tensors and its {count} files have "
            f"{len(seen)}; download all of them again"
        )
    return found


def _check_all_there(path: Path, files: list[Path]) -> None:
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise ModelFileError(
            f"the model {path} is in {len(files)} files and {', '.join(missing[:_SHOWN])}{more} "
            f"{'is' if len(missing) == 1 else 'are'} not beside it; copy or download all parts"
        )


def _check_part(file: Path, part: Header, number: int, count: int) -> None:
    inside = part.values.get("split.no")
    if part.values.get("split.count") != count:
        raise ModelFileError(f"{file} is no part of a model in {count} files; download it again")
    if inside != number:
        which = f"part {inside + 1}" if isinstance(inside, int) else "no part by its number"
        raise ModelFileError(
            f"{file} is in truth {which} of the model; rename the parts as they are, or download "
            "them again"
        )

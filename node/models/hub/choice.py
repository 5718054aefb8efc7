"""The models that a repository of the hub has, and which of them is meant. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mesh.errors import ModelFileError
from node.models import gguf_parts as parts
from node.models.hub.source import HubSource

DEFAULT = "Q4_K_M"

_SHOWN = 12  # of a repository's files or quantisations, in a message
_NEAR = 3
_ENDING = ".gguf"
# The last of these in a name, between separators.
_QUANTISATION = re.compile(
    r"(?:^|[-._/ ])((?:UD-)?(?:(?:IQ|TQ|Q)\d(?:_[A-Z0-9]+)*|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32))"
    r"(?=$|[-._/ ])",
    re.IGNORECASE,
)
_SAID_OTHERWISE = {"FP16": "F16", "FP32": "F32"}
_SPLIT = re.compile(r"-\d{5}-of-\d{5}$")
# Weights that answer nothing by themselves: an eye for a model, statistics for a quantiser.
_NO_MODEL = re.compile(r"mmproj|imatrix", re.IGNORECASE)

# Nearest to ``DEFAULT`` first: by bits, then by kind.
_BITS = ("4", "5", "6", "3", "8", "16", "2", "32", "1")
_KINDS = ("K_M", "K_S", "K_L", "K_XL", "XL", "K", "XS", "NL", "0", "1")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """``size`` in bytes, 0 where the hub does not say. ``sha256``: "" likewise."""

    name: str
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One model of a repository: one file, or all its parts in order. ``quantisation``: as its
    name says, "" where it says none."""

    files: tuple[HubFile, ...]
    quantisation: str

    @property
    def name(self) -> str:
        return self.files[0].name

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def offers(files: Iterable[HubFile]) -> tuple[Offer, ...]:
    """Every whole model among ``files``, by name. Parts of which one is missing are none."""
    by_name = {file.name: file for file in files}
    found = []
    for name in sorted(by_name):
        folder, base = _split(name)
        wanted = [folder + part for part in parts.names(base)]
        if not name.lower().endswith(_ENDING) or _NO_MODEL.search(base) or name != wanted[0]:
            continue
        if all(each in by_name for each in wanted):
            files_of_it = tuple(by_name[each] for each in wanted)
            found.append(Offer(files=files_of_it, quantisation=quantisation_of(name)))
    return tuple(found)


def quantisation_of(name: str) -> str:
    """``Q4_K_M`` of ``qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf``; "" where it says none."""
    stem = _SPLIT.sub("", name.removesuffix(_ENDING))
    folder, base = _split(stem)
    found = _QUANTISATION.findall(base) or _QUANTISATION.findall(folder)
    if not found:
        return ""
    word = str(found[-1]).upper()
    return _SAID_OTHERWISE.get(word, word)


def choose(source: HubSource, files: Sequence[HubFile]) -> Offer:
    """What ``source`` means among the files of its repository. Raises ``ModelFileError`` naming
    what there is instead."""
    if source.file:
        return _by_name(source, files)
    there = offers(files)
    if not there:
        raise ModelFileError(f"{source.repo} has no GGUF file{_instead(files)}")
    if source.quantisation:
        wanted = [each for each in there if each.quantisation == source.quantisation.upper()]
        if not wanted:
            raise ModelFileError(
                f"{source.repo} has no {source.quantisation.upper()}; it has "
                f"{_quantisations(there)}"
            )
    else:
        best = min(there, key=_distance)
        wanted = [each for each in there if _distance(each) == _distance(best)]
    if len(wanted) > 1:
        raise ModelFileError(
            f"{source.repo} has several models of {wanted[0].quantisation or 'no quantisation'}; "
            f"say which: {_listed([f'hf:{source.repo}/{each.name}' for each in wanted])}"
        )
    return wanted[0]


def near(word: str, words: Iterable[str]) -> list[str]:
    """Those of ``words`` that ``word`` may have been meant for, the likeliest first."""
    by_lower = {each.lower(): each for each in words}
    return [by_lower[each] for each in get_close_matches(word.lower(), by_lower, _NEAR, 0.6)]


def _by_name(source: HubSource, files: Sequence[HubFile]) -> Offer:
    by_name = {file.name: file for file in files}
    folder, base = _split(source.file)
    wanted = [folder + part for part in parts.names(base)]
    if source.file in by_name and not source.file.lower().endswith(_ENDING):
        raise ModelFileError(f"{source.file} of {source.repo} is no GGUF file")
    missing = [name for name in wanted if name not in by_name]
    if source.file in by_name and not missing:
        found = tuple(by_name[name] for name in wanted)
        return Offer(files=found, quantisation=quantisation_of(source.file))
    ggufs = [name for name in by_name if name.lower().endswith(_ENDING)]
    if not ggufs:
        raise ModelFileError(f"{source.repo} has no GGUF file{_instead(files)}")
    if len(missing) < len(wanted):
        raise ModelFileError(
            f"{source.file} of {source.repo} is of a model in {len(wanted)} files, and the hub has "
            f"no file '{missing[0]}'"
        )
    close = near(source.file, ggufs) or [n for n in ggufs if n.lower() == base.lower()]
    there = f"near it: {_listed(close)}" if close else f"it has {_listed(sorted(ggufs))}"
    raise ModelFileError(f"repository {source.repo} has no file '{source.file}'; {there}")


def _distance(offer: Offer) -> tuple[int, int, int]:
    """From ``DEFAULT``; those whose name says nothing are last."""
    name = offer.quantisation.removeprefix("UD-")
    if not name:
        return len(_BITS), 0, 0
    if (bits := re.search(r"\d+", name)) is None or bits[0] not in _BITS:
        return len(_BITS), 1, 0
    kind = name[bits.end() :].strip("_")
    rank = _KINDS.index(kind) if kind in _KINDS else len(_KINDS)
    # Of one width, what is named otherwise (IQ4_XS, UD-Q4_K_XL) after the plain one.
    return _BITS.index(bits[0]), rank, 0 if offer.quantisation.startswith("Q") else 1


def _instead(files: Sequence[HubFile]) -> str:
    if any(file.name.endswith(".safetensors") for file in files):
        return (
            " but safetensors: look for a repository of the same model with GGUF in its name, or "
            "download it and give its folder to --engine torch or exllamav2"
        )
    return "; look for a repository with GGUF in its name"


def _quantisations(there: Sequence[Offer]) -> str:
    named = sorted({each.quantisation or each.name for each in there})
    return _listed(named)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _split(name: str) -> tuple[str, str]:
    folder, slash, base = name.rpartition("/")
    return folder + slash, base

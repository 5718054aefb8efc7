"""``hf:OWNER/REPO[:QUANT]`` and ``hf:OWNER/REPO/FILE``: what of the hub is meant. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mesh.errors import ModelFileError

SCHEME = "hf:"
FORM = "hf:OWNER/REPO[:QUANT] or hf:OWNER/REPO/FILE"

_NAME = re.compile(r"(?![.-])(?!.*(?:--|\.\.))[A-Za-z0-9._-]{1,96}(?<![.-])")
_QUANTISATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
# What people copy from a browser or from other tools.
_PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([^/\s]+/[^/\s:?#]+)"
    r"(?:/(?:blob|resolve)/[^/]+/([^?#\s]+)|:([^/\s]+))?.*"
)
_LONGEST = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """``repo``: OWNER/REPO. One of ``file`` (with its folders) and ``quantisation``, or neither."""

    repo: str
    file: str = ""
    quantisation: str = ""

    def __str__(self) -> str:
        tail = f"/{self.file}" if self.file else f":{self.quantisation}" * bool(self.quantisation)
        return f"{SCHEME}{self.repo}{tail}"


def is_hub(source: str) -> bool:
    return source.startswith(SCHEME)


def read(source: str) -> HubSource:
    """Raises ``ModelFileError`` for what is of neither form."""
    words = source.removeprefix(SCHEME).split("/")
    hint = as_hub(source.removeprefix(SCHEME).lstrip("/"))
    if len(words) >= 2 and len(source) <= _LONGEST and not hint:  # no owner is called hf.co
        owner, second, *rest = words
        name, colon, quantisation = second.partition(":")
        named = _NAME.fullmatch(owner) and _NAME.fullmatch(name)
        if named and not rest and (not colon or _QUANTISATION.fullmatch(quantisation)):
            return HubSource(repo=f"{owner}/{name}", quantisation=quantisation)
        if named and rest and not colon and not {"", ".", ".."} & set(rest):
            return HubSource(repo=f"{owner}/{name}", file="/".join(rest))
    raise ModelFileError(
        f"'{source}' is not of the form {FORM}" + (f"; try {hint}" if hint else "")
    )


def likely_file(source: str) -> str:
    """``qwen2.5-7b-instruct-Q8_0`` of ``hf:Qwen/Qwen2.5-7B-Instruct-GGUF:Q8_0``: what its file may
    be called, where it is not said; else the source as it is."""
    try:
        meant = read(source)
    except ModelFileError:
        return source
    if meant.file:
        return source
    name = re.sub(r"[-_.]gguf$", "", meant.repo.partition("/")[2], flags=re.IGNORECASE)
    return f"{name}-{meant.quantisation}" if meant.quantisation else name


def as_hub(text: str) -> str:
    """The source that a page's address or another tool's name stands for, "" for none."""
    page = _PAGE.fullmatch(text)
    if page is None:
        return ""
    repo, file, quantisation = page[1], page[2] or "", page[3] or ""
    return str(HubSource(repo=repo, file=file, quantisation=quantisation))

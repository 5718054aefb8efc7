"""A repository as the hub tells of it: its files, its licence, whether it wants to be asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mesh.cleaned import cleaned
from mesh.errors import ModelFileError
from node.models.hub.choice import HubFile, near
from node.models.hub.place import Hub, NoRepository, http, in_words

ASK_S = 10.0
MOST_FILES = 20_000

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME = 500  # characters
_LONGEST_LICENCE = 80
# What the hub's client raises at an answer that is not of the hub's form.
_ODD = (KeyError, TypeError, ValueError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """At one ``commit``. ``licence``: "" where it says none. ``gated``: its licence has to be
    accepted before its files are given."""

    name: str
    commit: str
    files: tuple[HubFile, ...]
    licence: str = ""
    gated: bool = False


def ask(hub: Hub, repo: str) -> Repository:
    """Raises ``ModelFileError``: no such repository, with those that may be meant; no network."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub.endpoint)
    try:
        with in_words(hub, repo, ""):
            return _read(hub, api.model_info(repo, files_metadata=True, timeout=ASK_S), repo)
    except NoRepository as error:
        alike = _alike(api, repo)
        raise NoRepository(f"{error.message}{f'; near it: {alike}' * bool(alike)}") from None
    except _ODD:
        raise ModelFileError(
            f"what answers at {hub.endpoint} is no hub; check the address in HF_ENDPOINT"
        ) from None


def _read(hub: Hub, told: Any, repo: str) -> Repository:
    if not isinstance(told.sha, str) or not _COMMIT.fullmatch(told.sha):
        raise ModelFileError(f"the hub ({hub.endpoint}) names no commit of {repo}; try again later")
    card: Any = told.card_data or {}
    licence = card.get("license_name") or card.get("license") or ""
    return Repository(
        name=repo,
        commit=told.sha,
        files=tuple(_files(told.siblings or ())),
        licence=cleaned(licence, _LONGEST_LICENCE) if isinstance(licence, str) else "",
        gated=bool(told.gated),
    )


def _files(siblings: Any) -> Iterator[HubFile]:
    for _, each in zip(range(MOST_FILES), siblings, strict=False):
        name, size, sha256 = each.rfilename, each.size, each.lfs.sha256 if each.lfs else ""
        # What would lead out of its folder, or could not be shown, is nobody's model.
        if (
            not isinstance(name, str)
            or not name.isprintable()
            or len(name) > _LONGEST_NAME
            or {"", ".", ".."} & set(name.split("/"))
        ):
            continue
        yield HubFile(
            name=name,
            size=size if isinstance(size, int) and size > 0 else 0,
            sha256=sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else "",
        )


def _alike(api: Any, repo: str) -> str:
    """Repositories of nearly that name, by comma: anybody's, else its owner's. No answer is one
    too."""
    from huggingface_hub import errors

    owner, name = repo.split("/")
    try:
        found = [each.id for each in api.list_models(search=name, limit=20)]
        close = near(repo, found) or found[:3]
        if not close:
            close = near(repo, (each.id for each in api.list_models(author=owner, limit=200)))
    except (http().HTTPError, errors.HfHubHTTPError, errors.OfflineModeIsEnabled):
        return ""
    except _ODD:
        return ""
    return ", ".join(cleaned(each, 120) for each in close)

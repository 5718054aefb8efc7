"""Where the hub is and where its files lie here, and its client's errors in our words."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh.errors import ModelFileError

PARTIAL = ".incomplete"
MAIN = "main"
PUBLIC = "https://huggingface.co"

LOGIN = "set HF_TOKEN, or log in with `hf auth login`"


@dataclass(frozen=True, slots=True)
class Hub:
    """``endpoint``: its address. ``cache``: the folder of all repositories, as ``huggingface_hub``
    lays it out."""

    endpoint: str
    cache: Path

    @classmethod
    def here(cls) -> Hub:
        """As the environment says: HF_ENDPOINT, HF_HUB_CACHE, HF_HOME."""
        # Imported here, as everywhere in this folder: no node of local files should pay for it.
        from huggingface_hub import constants

        # Its warnings are ours to tell, in the way and at the place that fits.
        logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
        return cls(constants.ENDPOINT, Path(constants.HF_HUB_CACHE).expanduser())

    def folder(self, repo: str) -> Path:
        return self.cache / f"models--{repo.replace('/', '--')}"

    def blob(self, repo: str, etag: str) -> Path:
        return self.folder(repo) / "blobs" / etag

    def lock(self, repo: str, etag: str) -> Path:
        return self.cache / ".locks" / self.folder(repo).name / f"{etag}.lock"

    def page(self, repo: str) -> str:
        return f"{self.endpoint}/{repo}"


@contextmanager
def in_words(hub: Hub, repo: str, what: str) -> Iterator[None]:
    """Makes a ``ModelFileError`` of whatever asking the hub for ``what`` (a file, "") raises."""
    from huggingface_hub import errors

    asked = f"{what} of {repo}" if what else repo
    try:
        yield
    except errors.GatedRepoError:
        raise ModelFileError(
            f"{repo} is gated: accept its licence at {hub.page(repo)}, then {LOGIN}"
        ) from None
    except errors.RepositoryNotFoundError:
        raise NoRepository(f"no repository {repo} on the hub (or a private one: {LOGIN})") from None
    except errors.OfflineModeIsEnabled:
        raise NoHub(
            f"the hub is not asked for {asked}, since HF_HUB_OFFLINE is set; unset it, or use what "
            "`mesh models` lists"
        ) from None
    except errors.LocalEntryNotFoundError as error:
        # Ahead of its base: what the hub was asked is its cause, and the cache has nothing.
        raise NoHub(_unreachable(hub, asked, error.__cause__ or error)) from None
    except errors.EntryNotFoundError:
        raise ModelFileError(f"repository {repo} has no file '{what}'; check its name") from None
    except errors.HFValidationError:
        raise ModelFileError(f"'{repo}' is no name of a repository") from None
    except errors.HfHubHTTPError as error:
        raise ModelFileError(
            f"cannot download {asked}: {answered(hub, error.response.status_code)}"
        ) from None
    except (http().HTTPError, errors.FileMetadataError) as error:
        raise NoHub(_unreachable(hub, asked, error)) from None


def _unreachable(hub: Hub, asked: str, error: BaseException) -> str:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    also = "" if hub.endpoint == PUBLIC else " and HF_ENDPOINT"
    return (
        f"cannot download {asked}: the hub ({hub.endpoint}) cannot be reached ({reason}); check "
        f"the network{also}, or give a local path"
    )


def http() -> Any:
    """The HTTP library under the hub's client, which changes with that one's major version: its
    errors' base is always the first base of the client's own."""
    from huggingface_hub import errors

    return sys.modules[errors.HfHubHTTPError.__bases__[0].__module__.partition(".")[0]]


class NoRepository(ModelFileError):
    """The hub knows none of that name, or does not show it."""


class NoHub(ModelFileError):
    """Nobody answers for the hub, or nobody may be asked."""


def answered(hub: Hub, status: int) -> str:
    """A refusal's number in words that say what to do."""
    match status:
        case 401 | 403:
            return f"the hub refused it ({status}): {LOGIN}"
        case 429:
            return f"the hub has had too many requests from here (429): wait a while, or {LOGIN}"
    later = "try again later" if status >= 500 else "check the address in HF_ENDPOINT"
    return f"the hub ({hub.endpoint}) answered {status}: {later}"

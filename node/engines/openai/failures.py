"""What an upstream's refusal means: which error of ours, and whether to try again. Pure.

Overload is not failure: 429 and 503 become ``Overloaded``, with the time that the upstream names.
What the request is to blame for is a refusal, so that the request moves on and nobody is harmed.
The rest is ``EngineFailed``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from mesh.cleaned import cleaned
from mesh.errors import ContextOverflow, EngineFailed, MeshError, NotServed, Overloaded
from node.engines.openai.words import OVERLOADED, body_text, tells_of_context

LONGEST_RETRY_AFTER_S = 3600.0

_NOT_HERE = (404, 405, 501)
_AGAIN = (408, 425, 500, 502, 504)


class Trouble(Exception):
    """``again``: another try may go well. ``lost``: no request will, until somebody acts.
    ``after_s``: how long the upstream asks to wait. ``status``: of HTTP, 0 for none; ``text``: what
    the upstream said."""

    def __init__(
        self,
        error: MeshError,
        *,
        again: bool = False,
        lost: bool = False,
        after_s: float | None = None,
        status: int = 0,
        text: str = "",
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.again = again
        self.lost = lost
        self.after_s = after_s
        self.status = status
        self.text = text

    def told(self, scrub: Callable[[str], str]) -> Trouble:
        """The same without secrets, which an upstream may have repeated. Made anew: an exception
        keeps its first words in more places than one."""
        error = type(self.error)(scrub(self.error.message), retry_after_s=self.error.retry_after_s)
        return Trouble(
            error,
            again=self.again,
            lost=self.lost,
            after_s=self.after_s,
            status=self.status,
            text=scrub(self.text),
        )


def refused(
    status: int, headers: Mapping[str, str], body: bytes, *, model: str, where: str, wall: float
) -> Trouble:
    """An answer that is not 200. ``headers``: by lower-case name. ``wall``: Unix seconds."""
    trouble = _trouble(status, headers, body, model=model, where=where, wall=wall)
    trouble.status, trouble.text = status, body_text(body)
    return trouble


def _trouble(
    status: int, headers: Mapping[str, str], body: bytes, *, model: str, where: str, wall: float
) -> Trouble:
    text = cleaned(body_text(body))
    said = f": {text}" if text else ""
    match status:
        case 401:
            return Trouble(
                EngineFailed(
                    f"the upstream does not accept the key (401){said}; check api_key_file or "
                    "api_key_env"
                ),
                lost=True,
            )
        case 403:
            return Trouble(EngineFailed(f"the upstream forbids this to the key (403){said}"))
        case _ if status in _NOT_HERE and not _names_model(body_text(body), model):
            return Trouble(
                EngineFailed(
                    f"the upstream serves nothing at {where} ({status}){said}; check base_url, "
                    "it usually ends in /v1"
                ),
                lost=True,
            )
        case 404:
            return Trouble(
                EngineFailed(
                    f"the upstream has no model '{model}', or not for what it is asked (404){said}"
                ),
                lost=True,
            )
        case _ if status in OVERLOADED:
            after = retry_after_s(headers, wall)
            error = Overloaded(f"the upstream is overloaded ({status}){said}", retry_after_s=after)
            return Trouble(error, again=True, after_s=after)
        case 413:
            return Trouble(ContextOverflow(f"the upstream finds the prompt too large (413){said}"))
        case 400 | 422 if tells_of_context(body_text(body)):
            return Trouble(ContextOverflow(f"the upstream's context is too short{said}"))
        case _ if 300 <= status < 400:
            return Trouble(EngineFailed(redirected(status, headers.get("location", ""))))
        case _ if 400 <= status < 500 and status not in _AGAIN:
            return Trouble(NotServed(f"the upstream refuses the request ({status}){said}"))
    return Trouble(
        EngineFailed(f"the upstream failed ({status}){said}"),
        again=status in _AGAIN,
        after_s=retry_after_s(headers, wall),
    )


def redirected(status: int, location: str) -> str:
    """A redirect is not followed: the key would go where nobody said that it may."""
    where = "nowhere"
    if location:
        with suppress(ValueError):
            parts = urlsplit(location)
            where = cleaned(parts._replace(query="", fragment="").geturl())
    return f"the upstream redirects ({status}) to {where}; set base_url to where it really is"


def retry_after_s(headers: Mapping[str, str], wall: float) -> float | None:
    """Seconds, from ``Retry-After`` (RFC 9110, 10.2.3: seconds or a date) or OpenAI's
    ``retry-after-ms``; None when neither says anything sensible."""
    seconds: float | None = None
    try:
        if (given := headers.get("retry-after-ms", "").strip()) != "":
            seconds = float(given) / 1000.0
        elif (given := headers.get("retry-after", "").strip()) != "":
            seconds = float(given) if given[0].isdigit() else _until(given, wall)
    except (ValueError, OverflowError):
        return None
    if seconds is None or seconds != seconds:  # NaN
        return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_S)


def _names_model(text: str, model: str) -> bool:
    """Whether it is the model that is not there, and not the address."""
    return "model" in text.lower() or (bool(model) and model in text)


def _until(date: str, wall: float) -> float:
    return parsedate_to_datetime(date).timestamp() - wall

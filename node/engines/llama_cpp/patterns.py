r"""Regular expressions of a schema, in the few signs that the library's converter has. Pure.

It copies escapes into a grammar, which knows none but a text's own, so that ``\d`` or ``\.`` is
refused there; and its ``.`` and ``[^a]`` take a quotation mark, behind which no JSON is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mesh.errors import InvalidRequest

_KINDS = {"d": "0-9", "w": "a-zA-Z0-9_", "s": " "}  # JSON writes other blanks as escapes
_NO_STRING = r"\"\\\x00-\x1F"  # what never stands in a JSON string as it is
_KEPT = frozenset('nrtxu"\\[]')  # a grammar has them too
_PARTS = re.compile(r"\\.|\(\?:|\[\^?|.", re.DOTALL)


def plain(pattern: str) -> str:
    """Raises ``InvalidRequest``."""
    return "".join(_written(pattern))


def _written(pattern: str) -> Iterator[str]:
    opened = ""  # the class that is open
    for part in _PARTS.findall(pattern):
        if part[0] == "\\" and len(part) == 2:
            yield _escape(part[1], within=bool(opened))
        elif opened:
            if part == "]":
                yield _NO_STRING if opened == "[^" else ""
                opened = ""
            # Only an escaped one begins nothing in a class.
            yield part.replace("[", r"\[")
        elif part[0] == "[":
            opened = part
            yield part
        elif part == "(?:":
            yield "("
        else:
            yield f"[^{_NO_STRING}]" if part == "." else part


def _escape(sign: str, *, within: bool) -> str:
    if sign in _KEPT:
        return f"\\{sign}"
    if sign in _KINDS:
        return _KINDS[sign] if within else f"[{_KINDS[sign]}]"
    if sign.lower() in _KINDS and not within:
        return f"[^{_KINDS[sign.lower()]}{_NO_STRING}]"
    if sign.isascii() and not sign.isalnum() and sign.isprintable():
        return f"\\x{ord(sign):02X}" if within else f"[\\x{ord(sign):02X}]"
    where = " between [ and ]" if within else ""
    raise InvalidRequest(
        f"json_schema: a pattern's '\\{sign}'{where} is not known here; write out what it means"
    )

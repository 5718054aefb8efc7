"""TOML as data: the one border for files that people write, of whatever they hold.

``tomllib`` leaves what it cannot take in four ways, and takes numbers that nothing else can.
"""

from __future__ import annotations

import tomllib
from datetime import date, time
from typing import Any

from mesh.cleaned import cleaned
from mesh.errors import ConfigError

MAX_DEPTH = 32  # of tables and lists within each other; settings have four
_INTEGERS = range(-(2**63), 2**63)  # as TOML has them
_MOST_WHY = 200


def read_toml(content: bytes, most_bytes: int) -> dict[str, Any]:
    """Raises ``ConfigError`` that says what is wrong and where, and not in which file."""
    if len(content) > most_bytes:
        raise ConfigError(f"too large: at most {most_bytes:,} bytes are read")
    try:
        data = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {cleaned(str(error), _MOST_WHY)}") from None
    except RecursionError:
        raise ConfigError("not TOML: nested too deeply") from None
    except ValueError:  # a number of thousands of digits
        raise ConfigError("not TOML: a number in it has too many digits") from None
    _check(data)
    return data


def _check(data: dict[str, Any]) -> None:
    """Not recursive, for what it looks for is depth."""
    level: list[Any] = [data]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            match value:
                case dict():
                    below.extend(value.values())
                case list():
                    below.extend(value)
                case int() if value not in _INTEGERS:
                    raise ConfigError("not TOML: a whole number in it has more than 64 bits")
                case date() | time():
                    raise ConfigError(f"a date or time, which nothing here is: {value}")
        level = below
        if not level:
            return
    raise ConfigError(f"nested more than {MAX_DEPTH} deep")

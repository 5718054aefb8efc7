"""Options of engine ``openai``, checked; and the secrets they point at, which they never hold.

A key is named by file or environment variable, since options travel in arguments and records.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from mesh.embedding import MAX_DIMENSION
from mesh.errors import ConfigError
from node.engines.base import ModelSpec

Server = Literal[
    "auto", "openai", "vllm", "sglang", "llama_server", "llama_cpp_python", "ollama", "tabbyapi"
]
_MAX_SECRET_BYTES = 64 * 1024
_SHORTEST_SECRET = 6
_OURS = frozenset(
    {"model", "messages", "input", "stream", "stream_options", "n", "stop", "max_tokens"}
)
_RESERVED_HEADERS = frozenset({"host", "content-length", "content-type"})


class OpenAiOptions(msgspec.Struct, frozen=True, kw_only=True, rename={"continues": "continue"}):
    """Seconds for ``_s``. docs/engines.md says what each is for."""

    base_url: str
    server: Server = "auto"
    api_key_file: str = ""
    api_key_env: str = ""
    headers_file: str = ""
    ca_file: str = ""
    proxy: str = ""
    connect_timeout_s: float = 5.0
    first_token_timeout_s: float = 60.0
    token_timeout_s: float = 30.0
    retries: int = 2
    retry_within_s: float = 5.0
    continues: Literal["auto", "vllm", "prefill", "no"] = "auto"
    unsupported: Literal["refuse", "drop"] = "refuse"
    reasoning: Literal["drop", "include"] = "drop"
    stop: Literal["here", "upstream"] = "here"
    max_tokens_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    check_model: bool = True
    body: dict[str, Any] = {}
    tier: Literal["local", "subscription", "premium"] = "local"
    input_price: float | None = None
    output_price: float | None = None
    embedding: bool = False
    vision: bool = False
    dimensions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Where the upstream is and what opens it. ``secrets``: what no message may show."""

    base_url: str
    headers: dict[str, str]
    secrets: tuple[str, ...]
    tls: ssl.SSLContext | bool

    def scrubbed(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def read_options(spec: ModelSpec) -> OpenAiOptions:
    """Raises ``ConfigError`` that names the option and says what would be right."""
    where = f"model '{spec.id}': engine openai"
    known = [field.encode_name for field in msgspec.structs.fields(OpenAiOptions)]
    for option in spec.options:
        if option not in known:
            instead = "; give api_key_file or api_key_env" if option == "api_key" else ""
            raise ConfigError(
                f"{where} has no option '{option}'{instead}; known: {', '.join(sorted(known))}"
            )
    if not spec.options.get("base_url"):
        raise ConfigError(
            f"{where} needs option base_url, for example base_url=http://127.0.0.1:8000/v1"
        )
    try:
        options = msgspec.convert(spec.options, OpenAiOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    _check(options, where)
    return options


def access(options: OpenAiOptions, where: str) -> Access:
    """Reads the key, the headers and the certificates. Raises ``ConfigError``, never with what a
    file or a variable holds."""
    key = _key(options, where)
    headers = _headers(Path(options.headers_file), where) if options.headers_file else {}
    # Short ones are no secrets, and blanking them out would make messages unreadable.
    hidden = {value for value in (key, *headers.values()) if len(value) >= _SHORTEST_SECRET}
    secrets = tuple(sorted(hidden, key=len, reverse=True))
    if key:
        headers["Authorization"] = f"Bearer {key}"
    tls: ssl.SSLContext | bool = True
    if options.ca_file:
        try:
            tls = ssl.create_default_context(cafile=Path(options.ca_file).expanduser())
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", None) or "it holds no certificates in PEM form"
            raise ConfigError(f"{where}: ca_file {options.ca_file}: {reason}") from None
    return Access(base_url=_base(options.base_url), headers=headers, secrets=secrets, tls=tls)


def _check(options: OpenAiOptions, where: str) -> None:
    for name in ("base_url", "proxy"):
        url = getattr(options, name)
        if not url and name == "proxy":
            continue
        if not (url.isascii() and url.isprintable()) or " " in url:
            raise ConfigError(f"{where}: {name} has blanks, or characters that no URL has")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{where}: {name} is no URL: {error}") from None
        if parts.username is not None or parts.password is not None:
            raise ConfigError(
                f"{where}: {name} must hold no name or password, which others could read; give "
                "api_key_file, api_key_env or headers_file"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise ConfigError(
                f"{where}: {name} '{url}' is not http://HOST:PORT/v1 or https://HOST/v1"
            )
        if parts.query or parts.fragment:
            raise ConfigError(f"{where}: {name} must end with its path, without '?' or '#'")
    for name, most in (
        ("connect_timeout_s", 50.0),
        ("first_token_timeout_s", 3600.0),
        ("token_timeout_s", 50.0),  # the agent takes a runner that is silent for 60 s for hung
    ):
        value = getattr(options, name)
        if not 0.0 < value <= most:
            raise ConfigError(
                f"{where}: {name} must be more than 0 and at most {most:g}, not {value}"
            )
    if not 0 <= options.retries <= 10:
        raise ConfigError(f"{where}: retries must be 0 to 10, not {options.retries}")
    if not 0.0 <= options.retry_within_s <= 60.0:
        raise ConfigError(f"{where}: retry_within_s must be 0 to 60, not {options.retry_within_s}")
    for name in ("input_price", "output_price"):
        price = getattr(options, name)
        if price is not None and not 0.0 <= price < float("inf"):
            raise ConfigError(f"{where}: {name} must be 0 or more per million tokens, not {price}")
    if options.dimensions is not None and not (
        options.embedding and 1 <= options.dimensions <= MAX_DIMENSION
    ):
        raise ConfigError(
            f"{where}: dimensions must be 1 to {MAX_DIMENSION}, and goes with embedding = true"
        )
    if options.api_key_file and options.api_key_env:
        raise ConfigError(f"{where}: give api_key_file or api_key_env, not both")
    for name in sorted(_OURS & options.body.keys()):
        raise ConfigError(f"{where}: body may not set '{name}', which the request decides")


def _base(url: str) -> str:
    """Without a path it is the server's root, and the interface is below ``/v1`` on all of them."""
    url = url.rstrip("/")
    return url if urlsplit(url).path else f"{url}/v1"


def _key(options: OpenAiOptions, where: str) -> str:
    if options.api_key_env:
        key = os.environ.get(options.api_key_env, "").strip()
        source = f"environment variable {options.api_key_env}"
    elif options.api_key_file:
        key, source = _secret(Path(options.api_key_file), "api_key_file", where), "api_key_file"
    else:
        return ""
    if not key:
        raise ConfigError(f"{where}: {source} is empty or not set; put the key there")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(f"{where}: {source} holds no key: one line of ASCII without blanks")
    return key


def _headers(path: Path, where: str) -> dict[str, str]:
    """Lines ``Name: value``; blank ones and those that begin with ``#`` are skipped."""
    headers: dict[str, str] = {}
    for number, line in enumerate(_secret(path, "headers_file", where).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        token = name.replace("-", "").replace("_", "")
        if not colon or not token.isalnum() or not (name + value).isascii() or not value:
            raise ConfigError(f"{where}: headers_file line {number} is not 'Name: value' in ASCII")
        if not value.isprintable():
            raise ConfigError(f"{where}: headers_file line {number} has a control character")
        if name.lower() in _RESERVED_HEADERS:
            raise ConfigError(f"{where}: headers_file may not set {name}")
        headers[name] = value
    return headers


def _secret(path: Path, option: str, where: str) -> str:
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(_MAX_SECRET_BYTES + 1)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no usable path"
        raise ConfigError(f"{where}: cannot read {option} {path}: {reason}") from None
    if len(data) > _MAX_SECRET_BYTES:
        raise ConfigError(f"{where}: {option} {path} is larger than {_MAX_SECRET_BYTES:,} bytes")
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: {option} {path} is not text") from None

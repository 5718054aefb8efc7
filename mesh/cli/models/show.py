"""`mesh models show`: all that is known of one model."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mesh.cleaned import cleaned, harmless
from mesh.cli.models.listing import count, data, seen, where
from mesh.cli.options import chosen_endpoint, endpoint_option, json_option
from mesh.extras import require

if TYPE_CHECKING:
    from mesh.local.models import LocalModel
    from node.models.hub.place import Hub
    from node.models.hub.source import HubSource

_READ_BYTES = 4 * 2**20
_HASHED_BLOB = 64  # characters of a blob's name that is a SHA-256


@click.command("show")
@click.argument("name", metavar="NAME|FILE")
@click.option("--template", is_flag=True, help="Only its chat template, whole.")
@json_option("The same as JSON, the template in it.")
@endpoint_option()
def show_model(name: str, template: bool, as_json: bool, endpoint: str | None) -> None:
    """What is known of a model: architecture, parameters, quantisation, context, licence, hash.

    NAME is one that `mesh models` lists, of this box or else of the fleet, a path, or
    hf:OWNER/REPO[:QUANT]; of a repository that is not on this box, it says what the hub has.
    """
    require("node")
    from mesh.local.models import NotHere, named
    from node.models.hub.cached import find
    from node.models.hub.place import Hub
    from node.models.hub.source import is_hub, read

    hub = Hub.here()
    if is_hub(name) and find(hub, read(name)) is None:
        _show_repository(hub, read(name), as_json)
        return
    try:
        model = named(name, hub)
    except NotHere as error:
        if not _show_served(name, chosen_endpoint(endpoint), as_json):
            raise error from None
        return
    if model.facts is None:
        from mesh.errors import ModelFileError

        raise ModelFileError(model.error)
    if template:
        click.echo(harmless(model.facts.chat_template or ""))
    elif as_json:
        from mesh.cli.screen import json_page

        told = data(model) | {"chat_template": model.facts.chat_template}
        click.echo(json_page(told | {"sha256": {str(p): sha256(p) for p in model.paths}}))
    else:
        _show_model(model)


def sha256(path: Path) -> str:
    """Of the hub's cache, as it was when it was pulled; of any other file by reading it whole."""
    blob = path.resolve().name
    if path.resolve() != path.absolute() and len(blob) == _HASHED_BLOB:
        return blob
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _show_model(model: LocalModel) -> None:
    from node.models.fit.plan import mebibytes

    facts = model.facts
    if facts is None:
        return
    template = facts.chat_template
    rows = [
        ("name", facts.name),
        ("id", model.id),
        ("architecture", facts.architecture),
        ("parameters", count(facts.parameters)),
        ("quantisation", facts.quantisation or "?"),
        ("context", f"{facts.context_length:,} tokens" if facts.context_length else "not said"),
        ("layers", f"{facts.layers:,}"),
        ("makes", "vectors" if facts.embeds else "text"),
        ("template", f"{len(template):,} characters" if template else "none: ChatML is used"),
        ("licence", facts.licence or "not said"),
        ("size", f"{mebibytes(model.bytes)} ({model.bytes:,} bytes)"),
        ("where", where(model)),
        *(("file", str(path)) for path in model.paths),
    ]
    for key, value in rows:
        _row(key, value)
    sys.stdout.flush()  # the hash of a large file takes a while
    for path in model.paths:
        _row("SHA-256", sha256(path))


def _show_served(name: str, endpoint: str, as_json: bool) -> bool:
    """What nodes say of a model that they serve; False where none does."""
    import msgspec

    from mesh.cli.screen import json_page, megabytes

    fleet, _ = asyncio.run(seen(endpoint))
    found = [
        (node.record, model)
        for node in (fleet.nodes if fleet is not None else ())
        for model in node.record.models
        if model.id == name
    ]
    if as_json and found:
        told = [{"node": record.name, **msgspec.to_builtins(model)} for record, model in found]
        click.echo(json_page({"id": name, "fleet": told}))
        return True
    for number, (record, model) in enumerate(found):
        click.echo("" if number else f"'{cleaned(name)}' is not on this box; nodes serve it:")
        _row("node", f"{record.name} ({record.host})")
        _row("state", model.state)
        _row("engine", model.engine)
        _row("specialties", ", ".join(model.specialties))
        _row("architecture", model.architecture or "not said")
        _row("parameters", count(model.parameters))
        _row("quantisation", model.quantisation or "not said")
        _row("context", f"{model.context_length:,} tokens" if model.context_length else "not said")
        _row("size", megabytes(model.file_bytes) if model.file_bytes else "not said")
        _row("file", model.file or "not said")
    return bool(found)


def _show_repository(hub: Hub, source: HubSource, as_json: bool) -> None:
    """What the hub has of it, and which of that a pull would bring."""
    from mesh.errors import ModelFileError
    from node.models.fit.plan import mebibytes
    from node.models.hub.choice import choose, offers
    from node.models.hub.repository import ask

    repository = ask(hub, source.repo)
    there = sorted(offers(repository.files), key=lambda each: each.size)
    picked, why = None, ""
    try:
        picked = choose(source, repository.files)
    except ModelFileError as error:
        if source.file or source.quantisation or not there:
            raise
        why = error.message
    if as_json:
        from mesh.cli.screen import json_page

        models = [
            {
                "files": [file.name for file in each.files],
                "quantisation": each.quantisation,
                "bytes": each.size,
                "picked": each == picked,
            }
            for each in there
        ]
        told = {"repository": repository.name, "commit": repository.commit, "models": models}
        click.echo(json_page(told | {"licence": repository.licence, "gated": repository.gated}))
        return
    _row("repository", f"{repository.name} (not on this box)")
    _row("licence", repository.licence or "not said")
    if repository.gated:
        _row("gated", f"accept its licence at {hub.page(repository.name)}, then set HF_TOKEN")
    for each in there:
        mark = ", which a pull takes" if each == picked else ""
        _row(each.quantisation or "a file", f"{mebibytes(each.size)}, {each.name}{mark}")
    if why:
        _row("note", why)


def _row(key: str, value: str) -> None:
    click.echo(f"{key + ':':14}{cleaned(value, 1_000)}")

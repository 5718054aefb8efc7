"""`mesh node`: run a node on this box."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mesh.cli.options import (
    chosen_state_dir,
    config_option,
    etcd_option,
    insecure_option,
    otlp_option,
    preset_option,
    state_dir_option,
)
from mesh.cli.process import base_settings, become, default_name, is_service, put
from mesh.errors import ConfigError
from mesh.fleet.records import TRANSPORTS
from mesh.settings.load import MAX_FILE_BYTES, load
from mesh.settings.node import NodeSettings
from mesh.settings.toml import read_toml


@click.command()
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="SOURCE",
    help="A GGUF file, hf:OWNER/REPO[:QUANT], or what the engine calls its model. Repeatable.",
)
@click.option(
    "--specialty",
    "specialties",
    multiple=True,
    metavar="NAMES",
    help="What the models are good at, by comma: once for all models, or once a model in order.",
)
@click.option(
    "--models",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Each GGUF file in it, also what appears there later; --specialty, or the file's name.",
)
@click.option("--name", metavar="NAME", help="The node's name.  [default: this box's host name]")
@etcd_option
@click.option(
    "--transport",
    type=click.Choice(TRANSPORTS),
    help="What the data plane runs over.  [default: zeromq]",
)
@click.option(
    "--bind",
    metavar="ADDRESS",
    help="Data plane, tcp://HOST:PORT; port 0 takes a free one.  [default: tcp://127.0.0.1:0]",
)
@click.option("--advertise", metavar="HOST", help="Where peers dial.  [default: the bind host]")
@config_option
@click.option("--slots", type=int, help="Sequences at a time, a model.  [default: 4]")
@click.option("--context", type=int, help="Tokens a slot.  [default: the model's, at most 8192]")
@click.option("--engine", metavar="NAME", help="What runs the models.  [default: llama_cpp]")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="An option of the engine's, for all models, e.g. base_url=http://127.0.0.1:8000/v1.",
)
@click.option("--threads", type=int, help="CPU threads, a model.  [default: physical cores]")
@click.option("--gpu-layers", type=int, help="Layers on the GPU, -1 all, 0 none.  [default: -1]")
@click.option(
    "--keep-trying",
    is_flag=True,
    help="Stay and try again when no model works, as under systemd; else that ends it.",
)
@insecure_option
@preset_option
@otlp_option
@state_dir_option
def node(
    models: tuple[str, ...],
    specialties: tuple[str, ...],
    folder: Path | None,
    name: str | None,
    etcd: str | None,
    transport: str | None,
    bind: str | None,
    advertise: str | None,
    config: Path | None,
    slots: int | None,
    context: int | None,
    engine: str | None,
    options: tuple[str, ...],
    threads: int | None,
    gpu_layers: int | None,
    keep_trying: bool,
    insecure: bool,
    preset: str | None,
    otlp: str | None,
    state_dir: Path | None,
) -> None:
    """Run a node on this box, with models for its specialties.

    \b
    mesh node --model qwen2.5-coder-7b-q4.gguf --specialty code
    mesh node --model hf:OWNER/REPO:Q4_K_M --specialty math,logic --slots 8
    mesh node --models ~/models
    mesh node --model qwen3 --specialty chat --engine openai --option base_url=http://box:8000
    """
    source = base_settings(config)
    if folder is not None:
        source["models_folder"] = folder_settings(folder, () if models else specialties)
    if models:
        source["models"] = model_settings(models, specialties)
    elif specialties and folder is None:
        raise click.UsageError("--specialty goes with --model or --models")
    if not source.get("models") and not source.get("models_folder"):
        raise click.UsageError(
            "no model; say --model FILE.gguf --specialty NAME, --models FOLDER, or --config FILE"
        )
    for model in [*source.get("models", ()), source.get("models_folder")]:
        if isinstance(model, dict):
            put(model, slots=slots, context_length=context, engine=engine)
            put(model, threads=threads, gpu_layers=gpu_layers)
            if options:
                model["options"] = {**model.get("options", {}), **engine_options(options)}
    put(source, name=name, etcd=etcd, bind=bind and _address(bind), advertise=advertise)
    put(source, transport=transport, insecure=insecure, preset=preset, otlp_endpoint=otlp)
    source.setdefault("give_up", not is_service())
    if keep_trying:
        source["give_up"] = False
    source.setdefault("name", default_name())
    if state_dir or "state_dir" not in source:
        source["state_dir"] = str(chosen_state_dir(state_dir))
    become("node", load(NodeSettings, source, where=str(config) if config else "mesh node"))


def model_settings(models: tuple[str, ...], specialties: tuple[str, ...]) -> list[dict[str, Any]]:
    """Pairs each model with its specialties. Raises ``ConfigError``."""
    if not specialties:
        raise ConfigError(
            f"model '{models[0]}' has no specialty; say what it is good at with --specialty, for "
            "example math, code, knowledge, logic or chat"
        )
    if len(specialties) not in (1, len(models)):
        raise ConfigError(
            f"--specialty was given {len(specialties)} times for {len(models)} models; give it "
            "once for all of them, or once for each in order"
        )
    each = specialties * len(models) if len(specialties) == 1 else specialties
    return [
        {"source": model, "specialties": [part.strip() for part in names.split(",")]}
        for model, names in zip(models, each, strict=True)
    ]


def folder_settings(folder: Path, specialties: tuple[str, ...]) -> dict[str, Any]:
    """Raises ``ConfigError``."""
    if len(specialties) > 1:
        raise ConfigError(
            "--specialty is given once for all models of --models, by comma; without it each file "
            "is of the specialty that its name is"
        )
    names = [part.strip() for each in specialties for part in each.split(",")]
    return {"path": str(folder.absolute()), "specialties": names}


def engine_options(given: tuple[str, ...]) -> dict[str, Any]:
    """``KEY=VALUE`` each; the value is read as TOML, and as a string where it is none. Raises
    ``ConfigError``."""
    found: dict[str, Any] = {}
    for option in given:
        key, equals, value = option.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--option '{option}' is not KEY=VALUE, for example words=64")
        try:
            written = f"value = {value}".encode("utf-8", "surrogateescape")
            found[key.strip()] = read_toml(written, MAX_FILE_BYTES)["value"]
        except ConfigError:
            found[key.strip()] = value
    return found


def _address(bind: str) -> str:
    return bind if "://" in bind else f"tcp://{bind}"

"""``python -m node.models.fit JSON``: what ``mesh models fit`` becomes; prints one load's sums."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from mesh.cleaned import harmless, json_shown
from mesh.errors import ConfigError, MeshError
from node.engines.base import ModelSpec
from node.engines.estimate import CPU
from node.engines.registry import known_engines, traits_of
from node.engines.traits import EngineTraits, Source, Target, to_embed
from node.hardware.host import Host
from node.models import catalogue
from node.models.fit.box import THE_CPU, Device, devices
from node.models.fit.page import Described, data, table
from node.models.fit.plan import Fit, FitGrade, fit, mebibytes
from node.models.hub.cached import find
from node.models.hub.heads import heads
from node.models.hub.place import Hub
from node.models.hub.source import HubSource, is_hub, read
from node.models.prepared import default_context

GPU = "the GPU"
DOES_NOT_FIT = 3  # exit code
_WORDS = {
    Source.FILE: "a GGUF file",
    Source.FOLDER: "a folder of *.safetensors",
    Source.NAME: "the name of a model",
}


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``said``: of a file that is here only for this look, the source of it, else "". ``look``:
    for the devices that this box has; else ``vram_bytes`` None is for the CPU. ``ram_bytes`` None:
    what this box has available. ``engine``, ``kv_type`` and ``dtype`` None: as the model is stored,
    and the engine's own."""

    file: str
    said: str = ""
    look: bool = False
    engine: str | None = None
    vram_bytes: int | None = None
    ram_bytes: int | None = None
    context_length: int | None = None
    slots: int = 4
    gpu_layers: int = -1
    kv_type: str | None = None
    dtype: str | None = None
    compute_capability: str | None = None
    as_json: bool = False

    @property
    def device(self) -> str:
        return CPU if self.vram_bytes is None else GPU

    def options(self, traits: EngineTraits[Any]) -> dict[str, str]:
        """As a node's settings would have them. Raises ``ConfigError`` for what the engine gives no
        choice of."""
        given = {"kv_type": self.kv_type, "dtype": self.dtype}
        asked = {name: value for name, value in given.items() if value is not None}
        wished = {**asked, "gpu_layers": self.gpu_layers > 0, "cpu": self.device == CPU}
        for name, why in traits.no_choice.items():
            if wished.get(name):
                raise ConfigError(why)
        return asked


def main(argument: str) -> int:
    """Exit code 0 when it fits as wanted, 3 when not, 2 for a file or settings that are wrong."""
    try:
        query = msgspec.json.decode(argument, type=Query)
    except msgspec.DecodeError as error:
        return _complain(ConfigError(f"python -m node.models.fit: {error}"))
    try:
        with _found(query) as found:
            page, fits = _of_this_box(found) if found.look else _of_one(found)
            if found.said and not found.as_json:
                page = f"{harmless(found.said)}, which is not on this box\n{page}"
    except MeshError as error:
        return _complain(error)
    sys.stdout.write(f"{page}\n")
    return 0 if fits else DOES_NOT_FIT


@contextmanager
def _found(query: Query) -> Iterator[Query]:
    """Its file is on this box, if only for a look: of a model of the hub the headers are enough."""
    if not is_hub(query.file):
        yield query
        return
    hub, wanted = Hub.here(), read(query.file)
    here = find(hub, wanted)
    if here is not None:
        yield msgspec.structs.replace(query, file=str(here))
        return
    with heads(hub, wanted) as (path, offer):
        said = HubSource(repo=wanted.repo, file=offer.name)
        yield msgspec.structs.replace(query, file=str(path), said=str(said))


def _of_one(query: Query) -> tuple[str, bool]:
    model, found = _sums(query)
    page = json_shown(msgspec.json.format(data(model, found)).decode()) if query.as_json else ""
    return page or harmless(table(model, found)), found.outcome is FitGrade.FITS


def _of_this_box(query: Query) -> tuple[str, bool]:
    """The sums of the device that suits it best, and a line on each other one; the CPU is one of
    these where the model fits no GPU."""
    there, line = devices()
    rows = [(device, *_sums(_on(query, device))) for device in there]
    rows.sort(key=lambda row: (list(FitGrade).index(row[2].outcome), -row[2].left_bytes))
    device, model, found = rows[0]
    fits = found.outcome is FitGrade.FITS
    if not fits and device.free_bytes is not None:
        with suppress(ConfigError):  # of an engine that runs on GPUs only
            rows.append((THE_CPU, *_sums(_on(query, THE_CPU))))
    if query.as_json:
        told = msgspec.json.decode(data(model, found))
        told["device_name"] = device.name
        told["devices"] = [
            {"name": each.name, "outcome": fit.outcome, "left_bytes": fit.left_bytes}
            for each, _, fit in rows
        ]
        told["accelerator"] = line
        return json_shown(msgspec.json.format(msgspec.json.encode(told)).decode()), fits
    lines = [f"for {device.name}" + (f" ({line})" if device.free_bytes is None else "")]
    lines += [table(model, found)]
    lines += [
        f"{each.name}: {fit.outcome}, {mebibytes(abs(fit.left_bytes))} "
        f"{'left' if fit.left_bytes >= 0 else 'short'}"
        for each, _, fit in rows[1:]
    ]
    return harmless("\n".join(lines)), fits


def _on(query: Query, device: Device) -> Query:
    ram = query.ram_bytes
    if ram is None and device.free_bytes is not None:
        ram = Host().memory().available_bytes
    return msgspec.structs.replace(
        query,
        ram_bytes=ram,
        vram_bytes=device.free_bytes,
        compute_capability=query.compute_capability or device.compute_capability,
    )


def _sums(query: Query) -> tuple[Described, Fit]:
    traits, path = _engine(query)
    options = query.options(traits)
    files = traits.inspect(path)
    if files is None:
        raise ConfigError(f"engine {traits.name} cannot tell what {path} takes before it loads")
    own = traits.own_context(path, files)
    embeds = traits.embeds and to_embed(options, files)
    spec = ModelSpec(
        id=files.name,
        source=str(path),
        context_length=query.context_length or default_context(own, embeds=embeds),
        slots=query.slots,
        threads=1,
        gpu_layers=query.gpu_layers,
        options=options,
    )
    free, ram = _free(query)
    target = Target(device=query.device, compute_capability=query.compute_capability)
    found = fit(traits, spec, files, free, target, ram_free_bytes=ram)
    model = Described(
        file=query.said or str(path),
        engine=traits.name,
        name=files.name,
        architecture=files.architecture,
        numbers=files.quantisation or found.estimate.kv_type,
        parameters=files.parameters,
        context_length=files.context_length,
    )
    return model, found


def _engine(query: Query) -> tuple[EngineTraits[Any], Path]:
    """Who would load it, and where it is. Raises ``MeshError`` for an engine that does not load it,
    or where none here does."""
    if Path(query.file).is_dir():
        source, path = Source.FOLDER, Path(query.file)
    else:
        source, path = Source.FILE, catalogue.resolve(query.file)
    if query.engine is not None:
        traits = traits_of(query.engine)
        if source not in traits.sources:
            wants = " or ".join(_WORDS[each] for each in Source if each in traits.sources)
            raise ConfigError(f"engine {query.engine} takes {wants}, and {path} is a {source}")
        traits.check(path)
        return traits, path
    reasons = []
    for name in known_engines():
        try:
            traits = traits_of(name)
            if source in traits.sources:
                traits.check(path)
                return traits, path
        except MeshError as error:
            reasons.append(error.message)
    raise ConfigError("; ".join(dict.fromkeys(reasons)) or f"no engine here loads {path}")


def _free(query: Query) -> tuple[int, int | None]:
    """Bytes on the device, and of the box's memory; None: enough."""
    if query.vram_bytes is not None:
        return query.vram_bytes, query.ram_bytes
    ram = Host().memory().available_bytes if query.ram_bytes is None else query.ram_bytes
    return ram, ram


def _complain(error: MeshError) -> int:
    sys.stderr.write(f"mesh: {' '.join(error.message.split())}\n")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "{}"))

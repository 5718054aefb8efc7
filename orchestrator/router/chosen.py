"""Which stages an orchestrator asks, in which order and with which settings: from the plain tables
of ``[router]`` and from what the stages say of themselves."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib.metadata import EntryPoint, entry_points

from mesh.errors import ConfigError
from mesh.plugins import loaded
from mesh.settings.load import Settings, load_table
from mesh.settings.router import DEFAULT, RouterSettings
from orchestrator.router.spec import StageSpec

GROUP = "squadron.stages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """``order``: the stages with their settings. ``left_out``: why a usual one is not among them,
    each in words."""

    order: tuple[tuple[StageSpec, Settings], ...]
    left_out: tuple[str, ...] = ()


def choose(router: RouterSettings, where: str = "settings") -> Chosen:
    """The stages that the settings name, else the usual ones that can run here. Every table is
    checked, also of a stage that is not asked. Raises ``ConfigError`` naming the key."""
    known = _known()
    for name in router.tables:
        if name not in known:
            keys = {field.name for field in fields(RouterSettings)} - {"tables"}
            listed = ", ".join(sorted(keys | known.keys()))
            raise ConfigError(f"{where}: unknown key 'router.{name}'; known: {listed}")
    for name in router.stages or ():
        if name not in known:
            raise ConfigError(
                f"{where}: router.stages has '{name}', which is none of {', '.join(known)}"
            )
    names = DEFAULT if router.stages is None else router.stages
    specs = {name: _spec(name, known) for name in {*names, *router.tables}}
    settings = {
        name: load_table(spec.settings, router.tables.get(name, {}), f"router.{name}", where=where)
        for name, spec in specs.items()
    }
    order: list[tuple[StageSpec, Settings]] = []
    left_out: list[str] = []
    for name in names:
        missing = specs[name].missing()
        if missing is None:
            order.append((specs[name], settings[name]))
        elif router.stages is None:
            left_out.append(f"{name}, whose parts are not installed: {missing.remedy}")
        else:
            raise ConfigError(
                f"stage '{name}' is in router.stages and needs {missing.parts}, not installed "
                f"here: {missing.remedy}, or take it out of router.stages"
            )
    _check_order([spec for spec, _ in order], where)
    return Chosen(order=tuple(order), left_out=tuple(left_out))


def _check_order(specs: list[StageSpec], where: str) -> None:
    behind = {spec.name for spec in specs}
    for spec in specs:
        behind.discard(spec.name)
        if wanted := [name for name in spec.after if name in behind]:
            raise ConfigError(
                f"{where}: router.stages has '{spec.name}' before '{wanted[0]}', whose word it "
                f"needs; name '{wanted[0]}' first"
            )


def _known() -> dict[str, EntryPoint]:
    """All stages installed here, the usual ones first and in their order."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    usual = {name: found[name] for name in DEFAULT if name in found}
    return usual | {name: found[name] for name in sorted(found.keys() - usual.keys())}


def _spec(name: str, known: dict[str, EntryPoint]) -> StageSpec:
    point = known.get(name)
    if point is None:
        raise ConfigError(
            f"stage '{name}' is none of the entry points in '{GROUP}'; install squadron-mesh anew"
        )
    spec = loaded(point, "stage")
    if not isinstance(spec, StageSpec) or spec.name != name:
        raise ConfigError(f"stage '{name}' ({point.value}) is no StageSpec of that name")
    return spec

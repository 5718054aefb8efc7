"""The figures of one file, printed and as data for ``--json``."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from training.router.phrases.templates import LABELS
from training.router.quality.bars import Bar, accuracy
from training.router.quality.calibration import error_of, sure
from training.router.quality.deciding import Made
from training.router.quality.languages import language_of

Figures = dict[str, object]
Rights = dict[str, Sequence[bool]]


def groups(decided: Sequence[Made], names: Callable[[Made], Iterable[str]]) -> dict[str, list[int]]:
    """Places of the decisions by name, of which one may have several."""
    found: dict[str, list[int]] = defaultdict(list)
    for place, made in enumerate(decided):
        for name in names(made):
            found[name].append(place)
    return dict(sorted(found.items()))


def report(decided: Sequence[Made], baselines: Rights) -> Figures:
    """``baselines``: by name, which rows each gets right, in order."""
    figures: Figures = {"accuracy": accuracy(decided), "prompts": len(decided)}
    figures["labels"] = _labels(decided)
    by: tuple[tuple[str, Callable[[Made], Iterable[str]]], ...] = (
        ("source", lambda made: [f"{made.row.label} {made.row.source}"]),
        ("slice", lambda made: made.row.slices),
        ("language", lambda made: [language_of(made.row.prompt)]),
        ("all", lambda _: ["all"]),
    )
    for kind, names in by:
        figures[kind] = _compared(kind, decided, baselines, groups(decided, names))
    figures["stages"] = _stages(decided)
    _confusion(decided)
    return figures


def _labels(decided: Sequence[Made]) -> Figures:
    """A decision that is among a row's labels counts as its label."""
    print(f"\n{'label':14}{'prompts':>9}{'precision':>11}{'recall':>9}")
    labels: Figures = {}
    for label in LABELS:
        said = [made for made in decided if made.specialty == label]
        asked = [made for made in decided if made.row.label == label]
        precision, recall = accuracy(said), accuracy(asked)
        labels[label] = {"precision": precision, "recall": recall, "prompts": len(asked)}
        print(f"{label:14}{len(asked):9}{precision:11.4f}{recall:9.4f}")
    return labels


def _compared(
    kind: str, decided: Sequence[Made], baselines: Rights, found: dict[str, list[int]]
) -> Figures:
    if not found:
        return {}
    print(f"\n{kind:34}{'prompts':>9}{'router':>10}" + "".join(f"{n:>10}" for n in baselines))
    figures: Figures = {}
    for name, places in found.items():
        row = {"router": accuracy([decided[n] for n in places])}
        for other, right in baselines.items():
            row[other] = sum(right[n] for n in places) / len(places)
        print(f"{name:34}{len(places):9}" + "".join(f"{share:10.4f}" for share in row.values()))
        figures[name] = {"prompts": len(places), **row}
    return figures


def _stages(decided: Sequence[Made]) -> Figures:
    head = f"{'decided':>9}{'coverage':>10}{'precision':>11}{'says':>8}{'ECE':>8}"
    print(f"\n{'stage':14}{head}")
    figures: Figures = {}
    stages = {
        name: [decided[n] for n in places]
        for name, places in groups(decided, lambda made: [made.stage]).items()
    }
    for name, those in (*stages.items(), ("all", list(decided))):
        known = sure(those)
        says = sum(made.confidence for made in known) / len(known) if known else float("nan")
        row = {
            "coverage": len(those) / len(decided),
            "precision": accuracy(those),
            "says": says,
            "calibration_error": error_of(those),
        }
        print(
            f"{name:14}{len(those):9}{row['coverage']:10.4f}{row['precision']:11.4f}"
            f"{says:8.3f}{row['calibration_error']:8.3f}"
        )
        figures[name] = row
    return figures


def _confusion(decided: Sequence[Made]) -> None:
    print("\nconfusion: rows are labels, columns what was decided; right ones as their label")
    print(" " * 12 + "".join(f"{label[:9]:>11}" for label in LABELS))
    for label in LABELS:
        counts = Counter(
            label if made.right else made.specialty for made in decided if made.row.label == label
        )
        print(f"{label:12}" + "".join(f"{counts[other]:11}" for other in LABELS))


def follow_ups(decided: Sequence[Made], before: dict[int, Made]) -> Figures:
    """``before``: by place, the decision of the turn before a follow-up's. Earlier turns have no
    labels of their own: one is right where it is what the follow-up may be."""
    places = {n: made for n, made in before.items() if "follow-up" in decided[n].row.slices}
    if not places:
        return {}
    good = [decided[n] for n, made in places.items() if made.right]
    bad = [decided[n] for n, made in places.items() if not made.right]
    print(
        f"\nfollow-ups: {accuracy(good):.3f} right where the turn before was ({len(good)}), "
        f"{accuracy(bad):.3f} where it was not ({len(bad)})"
    )
    return {"turn_before_right": accuracy(good), "turn_before_wrong": accuracy(bad)}


def barred(bars: Sequence[Bar]) -> Figures:
    print(f"\n{'bar':34}{'prompts':>9}{'bar':>10}{'found':>10}")
    for bar in bars:
        sign = "at most" if bar.most else "at least"
        print(
            f"{bar.name:34}{bar.prompts:9}{sign + f' {bar.bar:.2f}':>16}{bar.found:8.4f}  "
            + ("held" if bar.held else "MISSED")
        )
    return {
        bar.name: {"bar": bar.bar, "found": bar.found, "prompts": bar.prompts, "held": bar.held}
        for bar in bars
    }

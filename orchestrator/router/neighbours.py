"""What a sentence vector is likely to be about: nearest exemplars and a linear head, combined.

Exemplars are vectors of labelled prompts, condensed; ``training/router/exemplars.py`` makes them,
``exemplars/README.md`` says of what. For a vector v, exemplars e with label l and weight w:

* neighbours: ``n(l) ~ sum of w * exp(v.e / spread)``, a kernel vote (Nadaraya 1964; Watson 1964);
* head: ``h(l) ~ exp(v.a(l) + b(l))``, multinomial logistic regression;
* ``p(l) ~ ((n(l) + h(l)) / 2) ** (1 / temperature)``: what one gets wrong the other often has
  right, and the temperature makes p the share that is right (Guo et al. 2017, section 4.2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from mesh.errors import ConfigError
from mesh.types import Alternative, Specialty
from orchestrator.router.folding import shown

SHIPPED = Path(__file__).parent / "exemplars" / "minilm.npz"
FORMAT = 1

HEAD_CHARACTERS = 1_000
TAIL_CHARACTERS = 400
_OPTION = re.compile(r"[ \t]*(?:\(?[A-Ha-h1-8][.):]|[A-Ha-h1-8][ \t])[ \t]*\S")
_OPTIONS_HEADING = re.compile(r"[ \t]*(?:options?|choices|answers?)[ \t]*:?[ \t]*", re.IGNORECASE)
LEANING = 0.4  # weight of an earlier stage's leaning; 0.2 to 0.5 differ by less than a percent
_LEAST_TOLD = 0.5
_LEAST_CHANCE = 0.005  # no stage may rule a label out by itself
_LEAST_SUBJECT = 12  # characters: what is left must still say something

Floats = npt.NDArray[np.float32]


def subject(prompt: str) -> str:
    """The part of a prompt that says what it is about: without the answers to choose from at its
    end, which are alike whatever the subject, and of a long one its two ends. Bounded in time
    whatever the prompt."""
    prompt = shown(prompt)
    lines = prompt.strip().split("\n")
    end = len(lines)
    while end > 1 and (not lines[end - 1].strip() or _OPTION.match(lines[end - 1])):
        end -= 1
    options = sum(1 for line in lines[end:] if line.strip())
    if options >= 2:
        if end > 1 and _OPTIONS_HEADING.fullmatch(lines[end - 1]):
            end -= 1
        stem = "\n".join(lines[:end]).strip()
        prompt = stem if len(stem) >= _LEAST_SUBJECT else prompt
    if len(prompt) > HEAD_CHARACTERS + TAIL_CHARACTERS:
        prompt = prompt[:HEAD_CHARACTERS] + "\n" + prompt[-TAIL_CHARACTERS:]
    return prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Likely:
    """``probabilities`` by label, the likeliest first. ``nearest``: cosine to the nearest exemplar,
    -1 to 1; a low one says that none of the exemplars is about this."""

    probabilities: tuple[tuple[Specialty, float], ...]
    nearest: float


def joined(likely: Likely, leaning: Sequence[Alternative]) -> Likely:
    """With what an earlier stage leaned to when it abstained: a weighted geometric mean of the two,
    since they err differently (logarithmic pooling; Genest and Zidek 1986). A leaning that leaves
    much open, less than half of all chances told, is not counted."""
    told = {other.specialty: other.probability for other in leaning}
    if sum(told.values()) < _LEAST_TOLD:
        return likely
    shares = {
        label: share ** (1 - LEANING) * max(told.get(label, 0.0), _LEAST_CHANCE) ** LEANING
        for label, share in likely.probabilities
    }
    total = sum(shares.values())
    ranked = sorted(shares.items(), key=lambda pair: -pair[1])
    return replace(likely, probabilities=tuple((label, each / total) for label, each in ranked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemplars:
    """``vectors`` [n, width]; ``kinds`` [n], indices of ``labels``; ``weights`` [n]; ``head``
    [labels, width] and ``bias`` [labels]. ``threshold``, ``margin``: as calibrated; ``floor``: the
    least ``nearest`` that says anything."""

    labels: tuple[Specialty, ...]
    vectors: Floats
    kinds: npt.NDArray[np.int8]
    weights: Floats
    head: Floats
    bias: Floats
    spread: float
    temperature: float
    threshold: float
    margin: float
    floor: float

    @classmethod
    def load(cls, path: Path = SHIPPED) -> Exemplars:
        """Raises ``ConfigError`` for a file that is missing or is not one of these."""
        try:
            with np.load(path, allow_pickle=False) as file:
                about: dict[str, Any] = json.loads(str(file["about"]))
                if about["format"] != FORMAT:
                    raise ValueError(f"format {about['format']}, not {FORMAT}")
                found = cls(
                    labels=tuple(Specialty(label) for label in about["labels"]),
                    vectors=file["vectors"].astype(np.float32),
                    kinds=file["kinds"].astype(np.int8),
                    weights=file["weights"].astype(np.float32),
                    head=file["head"].astype(np.float32),
                    bias=file["bias"].astype(np.float32),
                    spread=float(about["spread"]),
                    temperature=float(about["temperature"]),
                    threshold=float(about["threshold"]),
                    margin=float(about["margin"]),
                    floor=float(about["floor"]),
                )
            found._check()
        except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise ConfigError(
                f"{path} does not hold exemplars ({error}): install the package anew, "
                "or make them with training/router/exemplars.py"
            ) from None
        return found

    def _check(self) -> None:
        count, width = self.vectors.shape
        labels = len(self.labels)
        if self.kinds.shape != (count,) or self.weights.shape != (count,) or count == 0:
            raise ValueError("as many labels and weights as vectors are needed")
        if self.head.shape != (labels, width) or self.bias.shape != (labels,):
            raise ValueError("the head does not fit the labels")
        if int(self.kinds.min()) < 0 or int(self.kinds.max()) >= labels:
            raise ValueError("a vector has no label")

    def likely(self, vector: Floats) -> Likely:
        """By the formula in this module's docstring. ``vector``: [width], length one."""
        near = self.vectors @ vector
        votes = self.weights * np.exp((near - near.max()) / self.spread)
        voted = np.bincount(self.kinds, votes, minlength=len(self.labels))
        scores = self.head @ vector + self.bias
        said = np.exp(scores - scores.max())
        mixed = voted / voted.sum() + said / said.sum()
        sharpened = np.power(mixed / 2, 1 / self.temperature)
        shares = sharpened / sharpened.sum()
        order = np.argsort(-shares, kind="stable")
        return Likely(
            probabilities=tuple((self.labels[at], float(shares[at])) for at in order),
            nearest=float(near.max()),
        )

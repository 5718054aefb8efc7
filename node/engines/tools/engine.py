"""Engine ``tools``: exact answers on the CPU, from ``mesh/exact``. No weights, no GPU.

A word of the answer is a token, and answers are those of the orchestrator's own stage. What the
tools do not read whole is refused with ``CannotAnswer``, so that the request moves on to who has a
model. Problems for sympy are solved in the solver's process; meanwhile this engine's other
slots wait, for ``timeout_ms`` at the most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from mesh.errors import CannotAnswer, ConfigError, ContextOverflow, InternalError
from mesh.exact.asking import asked
from mesh.exact.base import Declined, Exact, Problem, pieces
from mesh.exact.quick import units
from mesh.exact.reading import answer
from mesh.exact.solver.problem import SolverProblem
from mesh.types import FinishReason, Message, Sampling
from node.engines.base import Emission, Ended, ModelFacts, ModelSpec, Prefilling, Token
from node.engines.options import check_sizes, options_of
from node.engines.tools.solver import SolverThread

_LEAST_MEMORY = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsOptions:
    """``solver``: whether problems for sympy are taken at all. ``timeout_ms``: for one of
    them; ``memory_bytes``: that the process which solves them may have."""

    solver: bool = True
    timeout_ms: float = 2000.0
    memory_bytes: int = 1024 * 1024 * 1024


@dataclass(slots=True)
class _Sequence:
    words: tuple[str, ...]
    prompt: int
    position: int
    prefilled: bool = False
    ended: bool = False


class ToolsEngine:
    """See ``node.engines.base.Engine``. ``wall``: Unix seconds, for what day today is."""

    def __init__(self, *, wall: Callable[[], float] = time.time) -> None:
        self.on_progress: Callable[[float], None] = lambda _: None
        self._wall = wall
        self._spec: ModelSpec | None = None
        self._solver: SolverThread | None = None
        self._timeout_s = 0.0
        self._open: dict[int, _Sequence] = {}

    def load(self, spec: ModelSpec) -> ModelFacts:
        """Raises ``ConfigError`` for a bad option, ``ModelFileError`` for no slots."""
        check_sizes(spec)
        options = _options(spec)
        self.on_progress(0.0)
        units.load()
        if options.solver:
            self._solver = SolverThread(options.memory_bytes)
        self._timeout_s = options.timeout_ms / 1000
        self._spec = spec
        self.on_progress(1.0)
        # No tokenizer hash: a resume goes by the text, which says whether it is this answer's.
        return ModelFacts(context_length=spec.context_length, device="cpu", architecture="tools")

    def open(
        self,
        slot: int,
        messages: Sequence[Message],
        sampling: Sampling,
        delivered: Sequence[int],
        delivered_text: str,
    ) -> int:
        """Raises ``CannotAnswer`` for what the tools do not answer, and for an answer that another
        model began otherwise; ``ContextOverflow``."""
        spec = self._loaded()
        if slot in self._open or not 0 <= slot < spec.slots:
            raise InternalError(f"slot {slot} is not free")
        prompt = sum(len(message.text.split()) for message in messages)
        if prompt >= spec.context_length:
            raise ContextOverflow(
                f"the prompt has {prompt} words and the tools' context is {spec.context_length}, "
                "answer included; ask a model with a longer context"
            )
        if sampling.grammar or sampling.json_schema:
            raise CannotAnswer(
                "the tools answer in plain text, in no form of another's; ask a model"
            )
        words = pieces(self._answer(messages).text)
        position = len(delivered) or _begun(words, delivered_text)
        if position > len(words) or tuple(delivered) != tuple(range(len(delivered))):
            raise CannotAnswer("the answer was begun otherwise than the tools would; ask a model")
        self._open[slot] = _Sequence(words, prompt, position)
        return prompt

    def step(self, held: frozenset[int]) -> Sequence[Emission]:
        """A word of each answer whose slot is not held."""
        spec = self._loaded()
        emissions: list[Emission] = []
        for slot, sequence in self._open.items():
            if sequence.ended or slot in held:
                continue
            if not sequence.prefilled:
                sequence.prefilled = True
                emissions.append(Prefilling(slot, sequence.prompt, sequence.prompt))
            if sequence.position < len(sequence.words):
                if sequence.prompt + sequence.position >= spec.context_length:
                    sequence.ended = True
                    emissions.append(Ended(slot, FinishReason.CONTEXT))
                    continue
                word = sequence.words[sequence.position]
                emissions.append(Token(slot, sequence.position, word.encode()))
                sequence.position += 1
            if sequence.position >= len(sequence.words):
                sequence.ended = True
                emissions.append(Ended(slot, FinishReason.STOP))
        return emissions

    def close(self, slot: int) -> None:
        self._open.pop(slot, None)

    def unload(self) -> None:
        self._open.clear()
        if self._solver is not None:
            self._solver.close()
        self._solver = self._spec = None

    def _answer(self, messages: Sequence[Message]) -> Exact:
        problem = asked(messages, date.fromtimestamp(self._wall()))
        if isinstance(problem, Declined):
            raise CannotAnswer(f"the tools do not answer this: {problem.note}; ask a model")
        match self._solved(problem):
            case Exact() as exact:
                return exact
            case Declined(note=note):
                raise CannotAnswer(f"the tools do not answer this: {note}; ask a model")
            case None:
                raise CannotAnswer("the tools have no answer that is sure, or in time; ask a model")

    def _solved(self, problem: Problem) -> Exact | Declined | None:
        if not isinstance(problem, SolverProblem):
            return answer(problem)
        if self._solver is None:
            return Declined(note="problems for the solver are switched off")
        return self._solver.solve(problem, self._timeout_s)

    def _loaded(self) -> ModelSpec:
        if self._spec is None:
            raise InternalError("no model is loaded")
        return self._spec


def _begun(words: tuple[str, ...], text: str) -> int:
    """How many of ``words`` make ``text``. Raises ``CannotAnswer`` when they do not start so."""
    begun = ""
    for count, word in enumerate(words):
        if begun == text:
            return count
        begun += word
    if begun == text:
        return len(words)
    raise CannotAnswer("the answer was begun otherwise than the tools would; ask a model")


def _options(spec: ModelSpec) -> ToolsOptions:
    options = options_of(spec, "tools", ToolsOptions)
    if options.timeout_ms < 1:
        raise ConfigError(f"model '{spec.id}': engine tools: timeout_ms must be at least 1")
    if options.memory_bytes < _LEAST_MEMORY:
        raise ConfigError(
            f"model '{spec.id}': engine tools: memory_bytes must be at least {_LEAST_MEMORY:,}"
        )
    return options

"""Stage ``embedding``: what the prompt means, by its nearest exemplars, where words did not tell.

Asked only for what the stages before it left undecided, since it costs 5 to 40 ms of a CPU where
they cost microseconds. One worker thread of its own computes, so that the event loop goes on; a
few prompts may wait for it, and the next ones are not asked about: being late costs more than the
opinion is worth. The model is loaded by ``run``, in that same thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from mesh.errors import ConfigError
from mesh.settings.load import check_range
from mesh.types import Alternative
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.minilm import REMEDY, MiniLm, Vector, missing_parts
from orchestrator.router.neighbours import Exemplars, Likely, joined, subject
from orchestrator.router.spec import NotInstalled, StageSpec

_LOG = logging.getLogger(__name__)

QUEUE_LIMIT = 8  # prompts at a time, the one being computed among them; past it: abstain
_LEAST_SHOWN = 0.005  # less probable alternatives are left out
_LOADING = "the model is not loaded yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSettings:
    """``threshold``: least probability, ``margin``: least lead over the next specialty, None: as
    calibrated. ``timeout_ms``: for one prompt. ``threads``: of the CPU."""

    threshold: float | None = None
    margin: float | None = None
    timeout_ms: float = 250.0
    threads: int = 1

    def check(self, where: str) -> None:
        """What types cannot say. Raises ``ConfigError``."""
        for key, value in (("threshold", self.threshold), ("margin", self.margin)):
            if value is not None:
                check_range(where, key, 0, value, 1)
        check_range(where, "timeout_ms", 1, self.timeout_ms, 60_000)
        check_range(where, "threads", 1, self.threads, 64)


class Encoder(Protocol):
    """Turns text into a vector of length one; called from one thread only."""

    def vector(self, text: str) -> Vector: ...


class EmbeddingStage:
    """A ``SlowStage``. ``load``: makes the model, in the worker thread; ``exemplars``: read there
    as well, when None. ``threshold`` and ``margin`` of the settings go before the calibrated ones.
    """

    def __init__(
        self,
        settings: EmbeddingSettings,
        *,
        load: Callable[[], Encoder] | None = None,
        exemplars: Exemplars | None = None,
    ) -> None:
        self._settings = settings
        self._load = load if load is not None else lambda: MiniLm(threads=settings.threads)
        self._given = exemplars
        self._places = threading.BoundedSemaphore(QUEUE_LIMIT)
        self._at_work: tuple[ThreadPoolExecutor, Encoder, Exemplars] | None = None
        self._absent = _LOADING

    @property
    def timeout_s(self) -> float:
        return self._settings.timeout_ms / 1e3

    @property
    def ready(self) -> bool:
        """Whether the model is loaded."""
        return self._at_work is not None

    async def run(self) -> None:
        """Loads the model and keeps its thread until cancelled. A model that cannot be loaded is
        reported once, and the stage abstains: the others still route."""
        worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedding")
        try:
            encoder, exemplars = await asyncio.wrap_future(worker.submit(self._made))
            self._at_work = (worker, encoder, exemplars)
            await asyncio.Event().wait()
        except ConfigError as error:
            self._absent = f"not available: {error.message}"
            _LOG.error("stage 'embedding' abstains from now on: %s", error.message)
            await asyncio.Event().wait()
        finally:
            self._at_work = None
            worker.shutdown(wait=False, cancel_futures=True)

    async def consult(self, features: Features) -> Verdict | Abstain:
        """The verdict of the nearest exemplars. Abstains when they disagree, when nothing is near,
        and when the model is not there or has too much to do."""
        if self._at_work is None:
            return Abstain(self._absent, passing=True)
        if not features.last_user.strip():
            return Abstain("no text")
        if not self._places.acquire(blocking=False):
            return Abstain(f"{QUEUE_LIMIT} prompts are waiting already", passing=True)
        worker, encoder, exemplars = self._at_work
        try:
            future = worker.submit(_likely, encoder, exemplars, features.last_user)
        except RuntimeError:  # shut down between the lines above
            self._places.release()
            return Abstain(self._absent, passing=True)
        # By the thread, since a computation whose caller has gone keeps its place until it ends.
        future.add_done_callback(self._leave)
        try:
            likely = await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return Abstain("the stage is stopping")  # the worker's end cancelled it, nobody else
        return self._verdict(joined(likely, features.leaning), exemplars)

    def _made(self) -> tuple[Encoder, Exemplars]:
        exemplars = self._given if self._given is not None else Exemplars.load()
        encoder = self._load()
        encoder.vector("warm up")  # the first run allocates
        return encoder, exemplars

    def _leave(self, _: Future[Likely]) -> None:
        self._places.release()

    def _verdict(self, likely: Likely, exemplars: Exemplars) -> Verdict | Abstain:
        least, lead = self._settings.threshold, self._settings.margin
        least = exemplars.threshold if least is None else least
        lead = exemplars.margin if lead is None else lead
        alternatives = tuple(
            Alternative(specialty=label, probability=round(share, 4))
            for label, share in likely.probabilities
            if share >= _LEAST_SHOWN
        )
        (best, share), *others = likely.probabilities
        second = others[0][1] if others else 0.0
        if likely.nearest < exemplars.floor:
            return Abstain(
                f"nothing like it among the exemplars (nearest {likely.nearest:.2f}, "
                f"at least {exemplars.floor:.2f} is needed)",
                alternatives,
            )
        if share < least or share - second < lead:
            return Abstain(
                f"leans to {best} {share:.2f}, next {second:.2f}; decides from {least:.2f} "
                f"and {lead:.2f} ahead",
                alternatives,
            )
        return Verdict(
            best,
            share,
            alternatives=alternatives,
            note=f"nearest exemplar {likely.nearest:.2f}",
        )


def _likely(encoder: Encoder, exemplars: Exemplars, text: str) -> Likely:
    return exemplars.likely(encoder.vector(subject(text)))


def _missing() -> NotInstalled | None:
    parts = missing_parts()
    return NotInstalled(parts=" and ".join(parts), remedy=REMEDY) if parts else None


# After the classifier, since it weighs what that leans to.
SPEC = StageSpec(
    name="embedding",
    settings=EmbeddingSettings,
    after=("classifier",),
    missing=_missing,
    make=lambda settings, _: EmbeddingStage(settings),
)

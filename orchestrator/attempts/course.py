"""What became of one request so far, and how that is told where it ends in an error."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field

from opentelemetry.trace import Span

from mesh.errors import AttemptFailed, DeadlineExceeded, InternalError, MeshError
from mesh.fleet.weights import same_weights
from mesh.fleet.work import Work
from mesh.spans import span
from mesh.stream import Resume, Waiting
from mesh.transport.base import Finished
from orchestrator.attempts.attempt import AttemptRun
from orchestrator.attempts.collect import Collector


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """An attempt that ended after tokens were delivered. ``at``: monotonic seconds of the last of
    them; ``at_token``: index of the next; ``tokenizer``: whose ids all before it are, "" for none
    in particular."""

    run: AttemptRun
    tokenizer: str
    error: MeshError
    at: float
    at_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a node said of the request that is not believed before another was asked: an end, or
    that the request is wrong. ``why`` it is doubted; ``delivered`` by then."""

    run: AttemptRun
    said: Finished | MeshError
    delivered: int
    why: str


@dataclass(slots=True, kw_only=True)
class Course:
    """One request. Times are monotonic seconds. ``work``: what its next attempt needs of a node.
    ``newest``: its attempt of this moment, or the last one. ``attempts``: accepted or broken;
    ``strikes``: those that count against the limit; ``stood_still``: those that were left for
    standing still. ``begun_at``: pieces delivered before the newest. ``refusal``: the last one, in
    words. ``lost``: what the last broken attempt cost. ``claim``: the one about which a second node
    was asked; a request has no other."""

    collector: Collector
    arrived: float
    deadline: float
    work: Work
    span: Span
    newest: AttemptRun | None = None
    attempts: int = 0
    strikes: int = 0
    stood_still: int = 0
    begun_at: int = 0
    refusal: str = ""
    lost: AttemptFailed | None = None
    queued_s: float = 0.0
    first_token: float | None = None
    last_token: float = 0.0
    resumed: bool = False
    broken: Break | None = None
    claim: Claim | None = None
    resumes: list[Resume] = field(default_factory=list)

    @property
    def run(self) -> AttemptRun:
        if self.newest is None:
            raise InternalError("this request has no attempt yet")
        return self.newest

    @property
    def asks_again(self) -> bool:
        """Whether a second node is asked about a claim, and has not told otherwise."""
        return self.claim is not None and self.claim.delivered == self.collector.delivered

    def believe(self) -> bool:
        """Nobody else can say: whether an end that was claimed stands. Raises an error that was."""
        if self.claim is None or not self.asks_again:
            return False
        if not isinstance(self.claim.said, Finished):
            raise copy(self.claim.said)  # what is raised has frames, and they this course
        self.newest = self.claim.run
        return True

    def refused(self, why: str) -> None:
        """The node would not take it."""
        self.refusal = f"{self.run.row.node_name}: {why}"

    def accepted(self) -> None:
        """The node took it."""
        self.attempts += 1
        self.resumed = self.resumed or self.begun_at > 0

    def tokens(self, now: float) -> None:
        """Tokens have come."""
        self.went_on(now)
        self.last_token = now
        if self.first_token is None:
            self.first_token = now

    def broke(self, error: MeshError, now: float) -> bool:
        """The attempt ended in ``error``; whether it brought tokens before."""
        delivered = self.collector.delivered
        if delivered and self.broken is None:
            at = self.last_token or now
            tokenizer = self.collector.tokenizer
            self.broken = Break(
                run=self.run, tokenizer=tokenizer, error=error, at=at, at_token=delivered
            )
        return delivered > self.begun_at

    def went_on(self, now: float) -> None:
        """What comes now, comes after the break, where there was one."""
        broken, self.broken = self.broken, None
        if broken is None:
            return
        before, after = broken.run, self.run
        self.resumes.append(
            Resume(
                from_node=before.row.node_name,
                to_node=after.row.node_name,
                from_model=before.row.model,
                to_model=after.row.model,
                same_weights=same_weights(
                    before.row.model, before.weights, after.row.model, after.weights
                ),
                by_ids=bool(broken.tokenizer) and broken.tokenizer == after.model.tokenizer_hash,
                at_token=broken.at_token,
                gap_ms=1000.0 * (now - broken.at),
                reason=broken.error.code,
            )
        )

    def waiting(self, now: float, *, lonely: bool) -> Waiting:
        """What the client is told when nobody has a slot for what was lost. ``lonely``: nobody is
        there for it at all, full or not."""
        left = max(0.0, self.deadline - now)
        up_to_s = min(left, self.work.patience_s) if lonely else left
        what = f"model '{self.work.model}'" if self.work.model else f"'{self.work.specialty}'"
        for_what = f"a node with {what}" if lonely else f"a free slot for {what}"
        lost = f"{self.lost.message}; " if self.lost is not None else ""
        return Waiting(why=f"{lost}waiting up to {up_to_s:.0f} s for {for_what}", up_to_s=up_to_s)

    def given_up(self, lost: AttemptFailed, why: str) -> AttemptFailed:
        so_far = self.collector.words().so_far
        parts = (lost.message, so_far and f"{so_far} before that", why)
        return type(lost)("; ".join(filter(None, parts)), node_id=lost.node_id)

    def too_late(self, error: DeadlineExceeded, now: float, troubles: str = "") -> DeadlineExceeded:
        """``troubles``: what is wrong with those that were waited for, in words."""
        last = f"the last refusal was {self.refusal}" if self.refusal else ""
        if error.message and not self.attempts:
            return DeadlineExceeded("; ".join(filter(None, (error.message, troubles or last))))
        words = self.collector.words()
        parts = [
            f"{words.unfinished} within {span(now - self.arrived)}",
            words.so_far,
            # Of an answer that began, what was refused before is no longer the reason.
            last if self.first_token is None else "",
            words.advice,
        ]
        return DeadlineExceeded("; ".join(filter(None, parts)))

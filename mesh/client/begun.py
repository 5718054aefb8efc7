"""What a client has of an answer, and how it asks for the rest of it elsewhere. Pure.

Whoever began the answer (an orchestrator, or a node by ticket) may be lost; the pieces that came
are here, and with them the request for the rest: the same specialty, so that it stays one answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mesh.delivery import Delivery
from mesh.errors import DeadlineExceeded, MeshError, NotResumable, ProtocolError
from mesh.fleet.weights import same_weights
from mesh.manners import settled
from mesh.stream import (
    Assigned,
    Decided,
    Done,
    Progress,
    Resume,
    StreamEvent,
    Tokens,
    Waiting,
    rate,
)
from mesh.types import Continuation, Request, Specialty


@dataclass(slots=True, kw_only=True)
class Begun:
    """``started``: monotonic seconds; all times are. ``attempts``: of nodes, as far as known.
    ``sound`` False: what came had a gap or a repetition, so nothing can go on after it."""

    request: Request
    started: float
    delivery: Delivery = field(default_factory=Delivery)
    decided: Decided | None = None
    assigned: Assigned | None = None
    attempts: int = 0
    sound: bool = True
    first_token: float | None = None
    last_token: float = 0.0
    resumes: list[Resume] = field(default_factory=list)
    _broken: tuple[Assigned | None, int, float, str] | None = None  # by whom, at token, when, why

    @property
    def tokens(self) -> int:
        """How many the client has."""
        return len(self.delivery.pieces)

    @property
    def movable(self) -> bool:
        """Whether somebody else may be asked for what is missing."""
        return self.request.resumable or not self.tokens

    def take(self, event: StreamEvent, now: float) -> StreamEvent | None:
        """The event as the client shall see it; None when it is to see nothing of it. Tokens are
        passed on as they are: who checks streams must see what is wrong with one."""
        match event:
            case Tokens(first=first):
                tokenizer = self.assigned.tokenizer_hash if self.assigned is not None else ""
                if first == self.tokens and self.sound:
                    self.delivery.accept(event, tokenizer)
                else:
                    self.sound = False
                self._went_on(now)
                self.last_token = now
                if self.first_token is None:
                    self.first_token = now
                return event
            case Decided():
                before, self.decided = self.decided, self.decided or event
                return event if before is None else None
            case Assigned():
                self.assigned = event
                self.attempts = max(self.attempts, event.attempt)
                return event
            case Progress():
                return event if not self.delivery.pieces else None
            case Waiting():
                return event
            case Done():
                return self._done(event, now)

    def broke(self, error: MeshError, now: float) -> None:
        """Whoever sent the events is lost."""
        if self._broken is None and self.delivery.pieces:
            self._broken = (self.assigned, self.tokens, self.last_token or now, error.code)

    def rest(self, error: MeshError, now: float) -> Request:
        """The request for what is missing. Raises ``NotResumable`` when that may not be asked for,
        ``ProtocolError`` when what came was no answer,
        ``DeadlineExceeded`` when no time is left. ``error``: why the rest is asked for."""
        request = self.request
        if not self.sound:
            raise ProtocolError(
                f"{error.message}, and its tokens did not follow on from one another; ask again",
                request_id=request.id,
            )
        if self.delivery.pieces and not request.resumable:
            raise NotResumable(
                f"{error.message}; {self.tokens} tokens were delivered before that, and this "
                "request may not be resumed; ask again",
                request_id=request.id,
            )
        timeout_s = request.timeout_s
        if timeout_s is not None:
            timeout_s -= now - self.started
            if timeout_s <= 0:
                raise DeadlineExceeded(
                    f"the answer was not finished within {request.timeout_s:g} s; {self.tokens} "
                    "tokens were delivered; allow more time or ask for fewer tokens",
                    request_id=request.id,
                )
        if self.decided is None:
            return replace(request, timeout_s=timeout_s)
        assigned, manner = self.assigned, self.decided.decision.manner
        # Of an answer that began, who began it: a substitute's is not for those it stood in for.
        of = assigned.specialty if assigned is not None and self.delivery.pieces else ""
        begun = Continuation(
            pieces=tuple(self.delivery.pieces),
            tokenizer_hash=self.delivery.tokenizer if self.delivery.pieces else "",
            attempts=self.attempts,
            specialty=Specialty(of) if of else self.decided.decision.specialty,
            model=assigned.model if assigned is not None else None,
            weights=assigned.weights if assigned is not None else "",
            system=manner.system if manner is not None else None,
        )
        # Another orchestrator may have other settings; what began goes on as it began.
        sampling = settled(request.sampling, manner.sampling) if manner else request.sampling
        return replace(request, timeout_s=timeout_s, continuation=begun, sampling=sampling)

    def _went_on(self, now: float) -> None:
        if self._broken is None:
            return
        before, at_token, at, why = self._broken
        self._broken, after = None, self.assigned
        old, new = before.model if before else "", after.model if after else ""
        tokenizer = before.tokenizer_hash if before else ""
        self.resumes.append(
            Resume(
                from_node=before.node_name if before else "",
                to_node=after.node_name if after else "",
                at_token=at_token,
                gap_ms=1000.0 * (now - at),
                reason=why,
                from_model=old,
                to_model=new,
                same_weights=same_weights(
                    old, before.weights if before else "", new, after.weights if after else ""
                ),
                by_ids=bool(tokenizer and after and after.tokenizer_hash == tokenizer),
            )
        )

    def _done(self, done: Done, now: float) -> Done:
        """With what the last sender cannot know: what was before it."""
        self._went_on(now)
        if not self.resumes:
            return done
        first = self.first_token
        spread = self.last_token - first if first is not None else 0.0
        return replace(
            done,
            resumed=True,
            attempts=max(done.attempts, self.attempts),
            completion_tokens=self.tokens,
            ttft_ms=1000.0 * (first - self.started) if first is not None else 0.0,
            tokens_per_second=rate(self.tokens, spread),
            resumes=(*self.resumes, *done.resumes),
        )

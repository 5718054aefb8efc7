"""Stage ``memo``: a request that was answered before is answered by the same again.

Only requests with one right answer are looked up and recorded: greedy ones, those with a fixed
seed, and those that say ``cacheable`` themselves; none that says it is not. Asked again within the
memo's time, on the same day, under the same rules by the same tenant, they get the earlier answer,
token by token.
"""

from __future__ import annotations

from datetime import date

from mesh.clock import Clock
from mesh.stream import Assigned, Decided, Done, StreamEvent, Tokens
from mesh.types import FinishReason, ModelId, NodeId, Piece, Specialty
from orchestrator.memo.base import Memo, Remembered
from orchestrator.memo.choice import memo_of
from orchestrator.memo.key import memo_key
from orchestrator.memo.settings import MemoSettings
from orchestrator.router.base import Abstain, Features, Verdict
from orchestrator.router.ready import ReadyAnswer
from orchestrator.router.rule_file import RuleSet
from orchestrator.router.spec import StageParts, StageSpec

NAME = "memo"

# Not ``CONTEXT``: that one node's context was full says nothing about the next one's.
_WHOLE = frozenset((FinishReason.STOP, FinishReason.STOP_STRING, FinishReason.LENGTH))
_LEAST_PIECE_BYTES = 2  # encoded, beside its text

_NOT_CACHEABLE = Abstain("this request's answer is not to be remembered")
_NO_PROMPT = Abstain("no prompt")
_TOO_LONG = Abstain("the conversation is too long to be remembered")
_NEW = Abstain("not asked before")


class MemoStage:
    """A ``SlowStage`` that does not suspend for answers of this process. ``salt``: of all that
    decides, the rules' version too, so that changed rules do not replay what a former route
    answered. ``clock``: for ages in notes."""

    def __init__(self, memo: Memo, salt: str, clock: Clock) -> None:
        self._memo = memo
        self._salt = salt
        self._clock = clock
        self.timeout_s = memo.timeout_s

    async def consult(self, features: Features) -> Verdict | Abstain:
        if not may_be_remembered(features):
            return _NOT_CACHEABLE
        if not features.last_user or features.last_user.isspace():
            return _NO_PROMPT
        key = self.key(features)
        if key is None:
            return _TOO_LONG
        found = await self._memo.look(key)
        if found is None:
            trouble = self._memo.trouble
            return Abstain(f"{_NEW.note}; {trouble}") if trouble else _NEW
        age = _ago(self._clock.wall() - found.kept_at)
        return Verdict(
            found.specialty,
            1.0,
            note=f"seen {age} ago, answered by {found.node_name or found.node or 'nobody known'}",
            answer=ReadyAnswer(
                source=NAME,
                pieces=found.pieces,
                reason=found.reason,
                model=found.model,
                node=found.node,
                node_name=found.node_name,
                tokenizer_hash=found.tokenizer_hash,
                prompt_tokens=found.prompt_tokens,
            ),
        )

    def key(self, features: Features) -> bytes | None:
        """Under which the answer is kept, None for a conversation too long. With today's date: a
        node's tools count from it, and templates tell it to models."""
        today = date.fromtimestamp(self._clock.wall())
        return memo_key(features, f"{self._salt}/{today}")

    async def run(self) -> None:
        """Runs the memo, once for all that ``under`` makes."""
        await self._memo.run()

    def under(self, rules_version: str) -> MemoStage:
        """The same memo under these rules."""
        return MemoStage(self._memo, f"{rules_version}/{self._salt}", self._clock)

    def recording(self, features: Features) -> Recording | None:
        """For an answer that may be kept; None when it may not. ``features`` as ``consult`` had
        them. Feed it every event of the stream."""
        if not may_be_remembered(features) or features.dry_run:
            return None
        if not features.last_user or features.last_user.isspace():
            return None
        key = self.key(features)
        return Recording(self._memo, key, self._clock) if key is not None else None


class Recording:
    """One answer as it streams by, kept when it turns out whole: pieces from index 0 without a gap,
    from one model, ended with ``Done`` for a reason that would come again.

    Holds the stream's own pieces until then (dispatch holds them, too, for a resume), and gives up
    as soon as they are too many bytes to be kept.
    """

    __slots__ = ("_assigned", "_clock", "_done", "_key", "_left", "_memo", "_pieces", "_specialty")

    def __init__(self, memo: Memo, key: bytes, clock: Clock) -> None:
        self._memo = memo
        self._key = key
        self._clock = clock
        self._left = memo.max_answer_bytes
        self._pieces: list[Piece] | None = []  # None: given up
        self._specialty: Specialty | None = None
        self._assigned: tuple[ModelId, str] | None = None
        self._done: Done | None = None

    @property
    def given_up(self) -> bool:
        return self._pieces is None

    def take(self, event: StreamEvent) -> None:
        """The next event of the stream. Never raises."""
        pieces = self._pieces
        if pieces is None:
            return
        match event:
            case Tokens(first=first, pieces=fresh):
                if first != len(pieces) or self._done is not None:
                    self._pieces = None
                    return
                pieces.extend(fresh)
                # Characters are at most as many as bytes; the memo measures the whole exactly.
                self._left -= sum([_LEAST_PIECE_BYTES + len(piece.text) for piece in fresh])
                if self._left < 0:
                    self._pieces = None
            case Decided(decision=decision):
                self._specialty = decision.specialty
            case Assigned(model=model, tokenizer_hash=tokenizer):
                if pieces and self._assigned != (model, tokenizer):
                    self._pieces = None  # two models' work is neither's answer
                self._assigned = (model, tokenizer)
            case Done() as done:
                if done.source or done.reason not in _WHOLE:
                    self._pieces = None
                self._done = done
            case _:
                pass

    async def keep(self) -> bool:
        """Whether the answer was kept: once, and only a whole one. Never waits for a network."""
        done, pieces, specialty = self._done, self._pieces, self._specialty
        self._pieces = None
        # An answer of nothing is rather a mishap than an answer, and nothing is saved by it.
        if done is None or not pieces or specialty is None or self._assigned is None:
            return False
        model, tokenizer = self._assigned
        return await self._memo.keep(
            self._key,
            Remembered(
                specialty=specialty,
                pieces=tuple(pieces),
                reason=done.reason,
                model=model,
                node=NodeId(done.node),
                node_name=done.node_name,
                tokenizer_hash=tokenizer,
                prompt_tokens=done.prompt_tokens,
                kept_at=self._clock.wall(),
            ),
        )


def may_be_remembered(features: Features) -> bool:
    """Whether the same request would get the same answer again, or says that it may. Where it says
    nothing of temperature, only the decision can tell: ``cacheable`` then says so behind it."""
    if features.cacheable is not None:
        return features.cacheable
    sampling = features.sampling
    return not sampling.temperature or sampling.seed is not None


def _ago(seconds: float) -> str:
    seconds = max(0.0, seconds)
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    if seconds < 7200.0:
        return f"{seconds / 60.0:.0f} min"
    return f"{seconds / 3600.0:.0f} h"


def _made(settings: MemoSettings, parts: StageParts) -> MemoStage:
    return MemoStage(memo_of(settings, parts.clock), parts.salt, parts.clock)


def _renewed(stage: MemoStage, rules: RuleSet, _: str) -> MemoStage:
    return stage.under(rules.version)


SPEC = StageSpec(
    name=NAME,
    settings=MemoSettings,
    answers=True,
    remembers=True,
    make=_made,
    renewed=_renewed,
)

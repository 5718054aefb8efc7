"""The loop inside a runner: one thread, one engine, one socket to the agent.

Messages in, one step, messages out. While no sequence can go on it sleeps on the socket; while some
can, it only looks whether there is mail. What it sends is bounded by the credit of its sequences,
so a blocking send can wait for the agent, which always reads.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from mesh.child.frames import Gone
from mesh.child.parent import Parent
from mesh.errors import (
    EngineFailed,
    InvalidRequest,
    MeshError,
    NotServed,
    ProtocolError,
)
from mesh.telemetry import spans
from mesh.types import FinishReason, Usage
from mesh.validation import check_sampling, check_texts
from node.engines.base import (
    Counted,
    Embedded,
    Ended,
    Engine,
    Failed,
    ModelFacts,
    ModelSpec,
    Prefilling,
    Token,
)
from node.engines.registry import (
    ReportsLoading,
    SpellsTokens,
    TellsWork,
    WaitsElsewhere,
    load_engine,
)
from node.runner import ability
from node.runner import messages as m
from node.runner.at_work import AtWork
from node.runner.live import Live
from node.runner.sequence_span import describe_end, start_span
from node.runner.tally import Tally
from node.runner.text import TextAssembler

EXIT_OK, EXIT_BROKEN, EXIT_LOAD_FAILED = 0, 70, 78  # as in sysexits.h


class EngineServer:
    """Serves one engine to the agent. ``work``: where it says what it is at. ``seconds``: monotonic
    clock for usage. ``engines``: finds an engine by name."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        work: AtWork | None = None,
        engines: Callable[[str], Engine] = load_engine,
        seconds: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._agent = Parent(connection, m.at_runner(), m.encode)
        self._send, self._flush = self._agent.send, self._agent.flush
        self._work = work or AtWork()
        self._engines = engines
        self._seconds = seconds
        self._live: dict[int, Live] = {}  # by sequence
        self._by_slot: dict[int, Live] = {}
        self._free: list[int] = []
        self._facts: ModelFacts | None = None
        self._tally = Tally()

    def run(self) -> int:
        """Serves until Shutdown, the agent's end, or the engine's; returns the exit code."""
        try:
            for message in self._agent.mail():
                match message:
                    case m.Load():
                        return self._serve(message)
                    case m.Shutdown():
                        return EXIT_OK
                    case _:
                        raise ProtocolError(f"a runner's first message is load, not {message}")
        except Gone:
            return EXIT_OK
        return EXIT_OK

    def _serve(self, load: m.Load) -> int:
        started = self._seconds()
        try:
            engine = self._engines(load.engine)
            if isinstance(engine, ReportsLoading):
                engine.on_progress = self._progress()
            if isinstance(engine, TellsWork):
                engine.work = self._work
            facts = self._facts = engine.load(load.spec)
        except MeshError as error:
            self._send(m.LoadFailed(code=error.code, message=error.message))
            self._flush()
            return EXIT_LOAD_FAILED
        except Exception as error:  # a defect, whose traceback is written when it ends the process
            self._send(m.LoadFailed(code=EngineFailed.code, message=_defect("loading", error)))
            self._flush()
            raise
        self._free = list(range(load.spec.slots))
        self._send(m.Loaded(facts=facts, seconds=self._seconds() - started))
        try:
            self._loop(engine, load.spec)
        except EngineFailed as error:
            for live in self._live.values():
                spans.failed(live.span, error)
            self._send(m.Broken(message=error.message))
            self._flush()
            return EXIT_BROKEN
        except (Gone, MeshError):
            raise
        except Exception as error:  # likewise
            self._send(m.Broken(message=_defect("answering", error)))
            self._flush()
            raise
        finally:
            for live in self._live.values():
                live.span.end()
        engine.unload()
        return EXIT_OK

    def _loop(self, engine: Engine, spec: ModelSpec) -> None:
        waits = engine if isinstance(engine, WaitsElsewhere) else None
        dry = False  # the last step brought nothing, so another one now would not either
        while True:
            self._flush()
            idle = not any(live.able for live in self._live.values())
            if dry and not idle and waits is not None:
                select.select([self._agent.fileno(), waits.wake_fd], [], [])
            for message in self._agent.mail() if idle else self._agent.mail_now():
                match message:
                    case m.Open():
                        self._open(engine, spec, message)
                    case m.Credit():
                        self._credit(message)
                    case m.Cancel():
                        self._cancel(engine, message)
                    case m.Shutdown():
                        return
                    case m.Load():
                        raise ProtocolError("a second load: a runner serves one model")
                if idle:
                    break  # it may have changed that
            dry = not self._step(engine)

    def _step(self, engine: Engine) -> bool:
        """Whether it brought anything."""
        held = frozenset(slot for slot, live in self._by_slot.items() if not live.able)
        if len(held) == len(self._by_slot):
            return False
        touched: dict[int, Live] = {}
        self._work.step([slot for slot in self._by_slot if slot not in held])
        emissions = engine.step(held)
        self._work.nothing()
        for emission in emissions:
            live = self._by_slot.get(emission.slot)
            if live is None:
                continue  # it ended at an emission before this one
            match emission:
                case Prefilling(done=done, total=total, cached=cached):
                    live.cached_tokens = cached
                    self._send(m.Prefill(sequence=live.sequence, done=done, total=total))
                case Token(id=token, data=data):
                    self._token(engine, live, token, data)
                case Embedded(first=first, dimension=dimension, data=data):
                    number = live.sequence
                    self._send(
                        m.Vectors(sequence=number, first=first, dimension=dimension, data=data)
                    )
                case Ended(reason=reason):
                    self._finish(engine, live, FinishReason(reason))
                case Counted(prompt=prompt, cached=cached):
                    live.prompt_tokens, live.cached_tokens = prompt, cached
                case Failed(error=error):
                    self._fail(engine, live, error)
                    touched.pop(live.sequence, None)
                    continue
            touched[live.sequence] = live
        for live in touched.values():
            self._deliver(live)
        return bool(emissions)

    def _token(self, engine: Engine, live: Live, token: int, data: bytes) -> None:
        live.last_token_at = self._seconds()
        if live.first_token_at is None:
            live.first_token_at = live.last_token_at
            live.span.add_event("first_token")
        live.tokens += 1
        live.outbox.extend(live.text.push(token, data))
        if live.text.stopped:
            self._finish(engine, live, FinishReason.STOP_STRING)
        elif live.full:
            self._finish(engine, live, FinishReason.LENGTH)

    def _finish(self, engine: Engine, live: Live, reason: FinishReason) -> None:
        """No more tokens: the engine's slot is free now; what is held leaves under credit."""
        live.finish = reason
        if not live.text.stopped:
            live.outbox.extend(live.text.flush())
        self._release(engine, live)

    def _fail(self, engine: Engine, live: Live, error: MeshError) -> None:
        """Ends one sequence, whose pieces that wait are dropped: a resume makes them again."""
        self._release(engine, live)
        del self._live[live.sequence]
        spans.failed(live.span, error)
        live.span.end()
        number, code, text = live.sequence, error.code, error.message
        if live.first_token_at is None and isinstance(error, InvalidRequest | NotServed):
            after = error.retry_after_s
            self._send(m.Rejected(sequence=number, code=code, message=text, retry_after_s=after))
        else:
            self._send(m.Failed(sequence=number, code=code, message=text))

    def _release(self, engine: Engine, live: Live) -> None:
        if self._by_slot.pop(live.slot, None) is not None:
            engine.close(live.slot)
            self._free.append(live.slot)
            if live.first_token_at is not None:
                prompt, cached = live.prompt_tokens, live.cached_tokens
                self._send(self._tally.ended(engine, prompt=prompt, cached=cached))

    def _deliver(self, live: Live) -> None:
        count = min(live.credit, len(live.outbox))
        if count:
            pieces = tuple(live.outbox.popleft() for _ in range(count))
            self._send(m.Pieces(sequence=live.sequence, first=live.index, pieces=pieces))
            live.index += count
            live.credit -= count
        if live.finish is not None and not live.outbox:
            usage = self._usage(live)
            describe_end(live.span, live.finish, usage)
            del self._live[live.sequence]
            self._send(m.Done(sequence=live.sequence, reason=live.finish, usage=usage))

    def _usage(self, live: Live) -> Usage:
        """Counts are of the whole answer (delivered tokens of a resume included), times of this
        attempt."""
        first = live.first_token_at
        until_first = (first if first is not None else self._seconds()) - live.opened_at
        return Usage(
            prompt_tokens=live.prompt_tokens,
            completion_tokens=live.tokens,
            cached_tokens=live.cached_tokens,
            prefill_ms=1000 * until_first,
            decode_ms=1000 * (live.last_token_at - first) if first is not None else 0.0,
        )

    def _open(self, engine: Engine, spec: ModelSpec, request: m.Open) -> None:
        if request.sequence in self._live:
            raise ProtocolError(f"sequence {request.sequence} is open already")
        if not self._free:  # the agent counts slots too, so this is its defect
            raise ProtocolError(f"sequence {request.sequence} was opened with no slot free")
        opening, delivered = request.opening, request.opening.delivered
        text = "".join(piece.text for piece in delivered)
        slot = self._free[-1]
        live = Live(
            sequence=request.sequence,
            slot=slot,
            credit=opening.credit,
            index=len(delivered),
            tokens=len(delivered),
            max_tokens=opening.sampling.max_tokens,
            text=TextAssembler(opening.sampling.stop, delivered=text),
            span=start_span(spec, opening),
            opened_at=self._seconds(),
        )
        self._work.opening(slot, request.sequence)
        try:
            if opening.texts:
                live.prompt_tokens = self._embed(engine, slot, opening.texts)
            else:
                live.prompt_tokens = self._answer(engine, live, opening, text)
        except (InvalidRequest, NotServed) as error:  # not of this request, or not by this engine
            spans.failed(live.span, error)
            live.span.end()
            self._send(m.Rejected(sequence=live.sequence, code=error.code, message=error.message))
            return
        finally:
            self._work.nothing()
        self._free.pop()
        self._live[live.sequence] = self._by_slot[slot] = live
        self._send(m.Opened(sequence=live.sequence, prompt_tokens=live.prompt_tokens))
        # A resume may be of an answer that lacked only its end.
        if live.text.stopped:
            self._finish(engine, live, FinishReason.STOP_STRING)
            self._deliver(live)
        elif live.full:
            self._finish(engine, live, FinishReason.LENGTH)
            self._deliver(live)

    def _embed(self, engine: Engine, slot: int, texts: tuple[str, ...]) -> int:
        check_texts(texts)
        return ability.embedder(engine, self._loaded).embed(slot, texts)

    def _answer(self, engine: Engine, live: Live, opening: m.Opening, text: str) -> int:
        """``text``: what was delivered of it. Raises as ``Engine.open``."""
        sampling, facts = opening.sampling, self._loaded
        check_sampling(sampling)
        ability.check_answers(facts)
        ability.check_form(engine, sampling)
        by_ids = opening.by_ids(facts.tokenizer_hash)
        ids = tuple(piece.id for piece in opening.delivered) if by_ids else ()
        if ids and isinstance(engine, SpellsTokens):
            live.text = TextAssembler(sampling.stop, delivered=text, spelled=engine.spell(ids))
        return engine.open(live.slot, opening.messages, sampling, ids, "" if ids else text)

    @property
    def _loaded(self) -> ModelFacts:
        if self._facts is None:
            raise EngineFailed("no model is loaded")
        return self._facts

    def _credit(self, grant: m.Credit) -> None:
        # A grant may cross the sequence's end on its way; then it means nothing any more.
        if (live := self._live.get(grant.sequence)) is not None and grant.pieces > 0:
            live.credit += grant.pieces
            self._deliver(live)

    def _cancel(self, engine: Engine, cancel: m.Cancel) -> None:
        live = self._live.pop(cancel.sequence, None)
        if live is None:
            return  # it ended by itself, and Done is on its way
        self._release(engine, live)
        live.span.set_attribute("squadron.cancelled", True)
        live.span.end()
        self._send(m.Closed(sequence=live.sequence))

    def _progress(self) -> Callable[[float], None]:
        last = -1

        def report(fraction: float) -> None:
            nonlocal last
            percent = max(0, min(100, int(100 * fraction)))
            if percent != last:
                last = percent
                self._send(m.Loading(percent=percent))
                self._flush()

        return report


def _defect(doing: str, error: Exception) -> str:
    """An error that an engine should have put into its own words."""
    said = (str(error).strip().splitlines() or ["no more is known"])[0]
    return (
        f"its engine broke while {doing}: {type(error).__name__}: {said}; the node's log has the "
        "traceback"
    )

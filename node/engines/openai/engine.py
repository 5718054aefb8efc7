"""Engine ``openai``: a model at any server that speaks OpenAI's chat completions over HTTP.

The tokens are made elsewhere. A loop in a thread of its own holds the connections, a request a
slot; ``step`` takes what has come and never waits (``wake_fd`` says when to call it again).

An upstream sends texts, not token ids: a piece is what one event brought, ids are positions in this
attempt and mean nothing to others, hence the empty tokenizer hash. Stop strings and ``max_tokens``
hold as everywhere, since the runner applies them; an upstream that goes on is cut off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from mesh.embedding import FLOAT_BYTES, rows
from mesh.errors import (
    CannotAnswer,
    ContextOverflow,
    EngineFailed,
    InternalError,
    InvalidRequest,
    MeshError,
)
from mesh.parts import prompt_bytes
from mesh.types import Message, Sampling
from node.engines.base import (
    Counted,
    Embedded,
    Emission,
    Ended,
    Failed,
    ModelFacts,
    ModelSpec,
    Prefilling,
    Token,
)
from node.engines.openai import embeddings as openai_embeddings
from node.engines.openai import request as openai_request
from node.engines.openai.chunks import UpstreamUsage
from node.engines.openai.failures import Trouble
from node.engines.openai.options import OpenAiOptions, access, read_options
from node.engines.openai.reading import AnswerText, End, Rows, UpstreamRequest
from node.engines.openai.stream import Stream, Wake
from node.engines.openai.worker import SIGN_S, Worker
from node.engines.options import check_sizes
from node.engines.sight import refuse_images

_MESSAGE_TOKENS = 4  # what a chat template puts around each message
_BYTES_PER_TOKEN = 4  # of ordinary text, about
_EMISSION_BYTES = 1024 * 1024  # of one emission
_MOST_BYTES_PER_TOKEN = 8  # no text of ordinary words has longer tokens on average


class OpenAiEngine:
    """See ``node.engines.base.Engine`` and ``node.engines.registry.WaitsElsewhere``."""

    def __init__(self) -> None:
        self.on_progress: Callable[[float], None] = lambda _: None
        self._spec: ModelSpec | None = None
        self._options: OpenAiOptions | None = None
        self._server = ""
        self._context = 0
        self._open: dict[int, Stream] = {}
        self._lost: MeshError | None = None
        self._wake = Wake()
        self._worker: Worker | None = None

    @property
    def wake_fd(self) -> int:
        return self._wake.fd

    def load(self, spec: ModelSpec) -> ModelFacts:
        """Finds the model at the upstream. Raises ``ConfigError`` (options, key, address),
        ``ModelFileError`` (no such model), ``Unreachable`` (nobody answers there now)."""
        check_sizes(spec)
        options = read_options(spec)
        opening = access(options, f"model '{spec.id}': engine openai")
        self.on_progress(0.0)
        worker = Worker(spec, options, opening, self._wake)
        try:
            listed = worker.start()
        except BaseException:
            worker.close()
            raise
        self._worker, self._spec, self._options = worker, spec, options
        self._server = options.server if options.server != "auto" else listed.server or "openai"
        self._context = spec.context_length
        if listed.context_length:
            self._context = min(self._context, listed.context_length)
        self.on_progress(1.0)
        return ModelFacts(
            context_length=self._context,
            device=f"upstream ({self._server})",
            architecture=self._server,
            tier=options.tier,
            input_price=options.input_price,
            output_price=options.output_price,
            embeds=options.embedding,
        )

    def open(
        self,
        slot: int,
        messages: Sequence[Message],
        sampling: Sampling,
        delivered: Sequence[int],
        delivered_text: str,
    ) -> int:
        """Sends the request. The number of prompt tokens is a guess, until ``Counted``.

        Raises ``ContextOverflow``, ``NotServed`` for what the upstream has no way to say, and
        ``EngineFailed`` once the upstream has disowned the key or the model.
        """
        spec, options, worker = self._opening(slot)
        if options.embedding:
            raise CannotAnswer("this model makes embeddings and no answers")
        if delivered:
            raise InvalidRequest("an upstream knows no token ids; resume by text")
        if not options.vision:
            refuse_images(messages)
        size = prompt_bytes(messages) + len(delivered_text.encode())
        least = size // _MOST_BYTES_PER_TOKEN
        if least >= self._context:
            raise ContextOverflow(
                f"the prompt has at least {least} tokens and the model's context is "
                f"{self._context}, answer included; shorten the prompt or ask a model with a "
                "longer context"
            )
        body = openai_request.body(
            spec.source, self._server, options, messages, sampling, delivered_text
        )
        prompt = size // _BYTES_PER_TOKEN + _MESSAGE_TOKENS * len(messages)
        stream = Stream(slot=slot, prompt=prompt, wake=self._wake, opened_at=time.monotonic())
        self._open[slot] = stream
        worker.begin(
            stream,
            UpstreamRequest(
                body=body,
                max_tokens=sampling.max_tokens,
                stop=sampling.stop,
                counted=not delivered_text,
                thoughts=options.reasoning == "include",
            ),
        )
        return prompt

    def embed(self, slot: int, texts: Sequence[str]) -> int:
        """Sends the texts. The number of tokens is a guess, until ``Counted``. Raises as ``open``,
        and ``CannotAnswer`` for a model that generates."""
        spec, options, worker = self._opening(slot)
        if not options.embedding:
            raise CannotAnswer("this model gives answers and makes no embeddings")
        sizes = [len(text.encode()) for text in texts]
        for number, size in enumerate(sizes, 1):
            least = size // _MOST_BYTES_PER_TOKEN
            if least > self._context:
                raise ContextOverflow(
                    f"text {number} has at least {least} tokens and the model takes "
                    f"{self._context} a text; split it, or ask a model with a longer context"
                )
        tokens = sum(size // _BYTES_PER_TOKEN + 1 for size in sizes)
        stream = Stream(slot=slot, prompt=tokens, wake=self._wake, opened_at=time.monotonic())
        self._open[slot] = stream
        worker.begin(stream, openai_embeddings.ask(spec.source, options, tuple(texts)))
        return tokens

    def _opening(self, slot: int) -> tuple[ModelSpec, OpenAiOptions, Worker]:
        spec, options, worker = self._loaded()
        if slot in self._open or not 0 <= slot < spec.slots:
            raise InternalError(f"slot {slot} is not free")
        if self._lost is not None:
            raise self._lost
        return spec, options, worker

    def step(self, held: frozenset[int]) -> Sequence[Emission]:
        """At most one piece of each slot that is not ``held``; [] when none has come yet. Raises
        ``EngineFailed`` when the model is lost and no other slot is open."""
        _, _, worker = self._loaded()
        self._wake.clear()
        worker.check()
        emissions: list[Emission] = []
        for stream in self._open.values():
            if stream.slot not in held and not stream.over:
                self._take(stream, worker, emissions)
        return emissions

    def close(self, slot: int) -> None:
        """Closes the connection, so that the upstream stops, unless the answer has ended."""
        stream = self._open.pop(slot, None)
        if stream is not None and self._worker is not None:
            self._worker.end(stream)

    def unload(self) -> None:
        self._open.clear()
        worker, self._worker, self._spec = self._worker, None, None
        if worker is not None:
            worker.close()
        self._wake.close()

    def _take(self, stream: Stream, worker: Worker, emissions: list[Emission]) -> None:
        slot = stream.slot
        while (event := stream.take(worker.tell)) is not None:
            match event:
                case UpstreamUsage(prompt=prompt, cached=cached):
                    emissions.append(Counted(slot, prompt or stream.prompt, cached))
                case AnswerText(text=text):
                    if not stream.begun:
                        stream.begun = True
                        emissions.append(Prefilling(slot, stream.prompt, stream.prompt))
                    emissions.append(Token(slot, stream.position, text.encode("utf-8", "replace")))
                    stream.position += 1
                    if not isinstance(stream.next, End):
                        return
                case Rows(dimension=dimension, data=data, tokens=tokens):
                    stream.begun = True
                    if tokens:
                        emissions.append(Counted(slot, tokens))
                    most = max(1, _EMISSION_BYTES // (FLOAT_BYTES * dimension))
                    for part in rows(data, dimension, most):
                        emissions.append(Embedded(slot, stream.position, dimension, part))
                        stream.position += most
                case End(reason=reason):
                    stream.over = True
                    emissions.append(Ended(slot, reason))
                case Trouble() as trouble:
                    stream.over = True
                    emissions.append(Failed(slot, self._failed(stream, trouble)))
        if not (stream.begun or stream.over):
            self._sign(stream, emissions)

    def _failed(self, stream: Stream, trouble: Trouble) -> MeshError:
        """A key or a model that the upstream disowns serves nobody: the runner ends, and what it is
        told when it loads again is the model's error. Others who are being answered finish."""
        if trouble.lost:
            self._lost = trouble.error
            if all(other is stream or other.over for other in self._open.values()):
                raise EngineFailed(trouble.error.message)
        return trouble.error

    def _sign(self, stream: Stream, emissions: list[Emission]) -> None:
        """Whoever watches over this attempt wants signs of life that grow; how long an upstream may
        take is for the options to say."""
        if time.monotonic() - stream.opened_at >= SIGN_S * (stream.signs + 1):
            stream.signs += 1
            emissions.append(
                Prefilling(stream.slot, stream.signs, max(stream.prompt, stream.signs))
            )

    def _loaded(self) -> tuple[ModelSpec, OpenAiOptions, Worker]:
        if self._spec is None or self._options is None or self._worker is None:
            raise InternalError("no model is loaded")
        return self._spec, self._options, self._worker

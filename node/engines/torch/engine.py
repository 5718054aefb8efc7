"""Engine ``torch``: Hugging Face models from safetensors, with continuous batching.

One forward serves all slots that have work: chunks of prefill beside a token for each running
sequence, as ``node/engines/batched.py`` has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

try:
    import torch
    import transformers  # noqa: F401 - so that what is missing is said here
except ImportError as error:
    raise ImportError(f"{error}: pip install 'squadron-mesh[torch]'") from None

from mesh.errors import ConfigError, EngineFailed, InternalError, ModelFileError
from mesh.types import Sampling
from node.engines.base import Emission, Failed, ModelFacts, ModelSpec
from node.engines.batched import BatchedEngine, Running
from node.engines.chat_template import PromptBuilder, TokenizedPrompt
from node.engines.first_line import first_line
from node.engines.hugging_face.vocabulary import Vocabulary
from node.engines.scheduler import Reuse, Share
from node.engines.torch.attention import KEYWORD, Batch, Caches, Segment
from node.engines.torch.loading import OpenedModel, open_model
from node.engines.torch.options import read_options
from node.engines.torch.sampling import Sampler


@dataclass(slots=True, kw_only=True)
class _Live:
    opened: OpenedModel
    caches: Caches
    prompts: PromptBuilder
    batch_size: int
    context_length: int

    @property
    def vocabulary(self) -> Vocabulary:
        return self.opened.vocabulary


class TorchEngine(BatchedEngine[_Live, Sampler]):
    """``forwards`` counts them."""

    forwards = 0
    _drawn: dict[int, int | None]  # of the batch in hand, by slot; None: no number came out

    def load(self, spec: ModelSpec) -> ModelFacts:
        """Raises ``ModelFileError``, and ``ConfigError`` for a bad option."""
        if self._live is not None:
            raise InternalError("a model is loaded already; unload it first")
        options = read_options(spec)
        opened = open_model(spec, options, lambda share: self.on_progress(share))
        live = _Live(
            opened=opened,
            caches=Caches(spec.slots, spec.context_length, opened.device, opened.dtype),
            prompts=PromptBuilder(opened.template, opened.vocabulary, spec.context_length),
            batch_size=max(options.batch, spec.slots),
            context_length=spec.context_length,
        )
        self._try(live, spec)
        self._begin(live, spec.slots)
        self.on_progress(1.0)
        return opened.facts

    def unload(self) -> None:
        live = self._end_all()
        on_gpu = live is not None and live.opened.device.type == "cuda"
        del live
        if on_gpu:
            torch.cuda.empty_cache()

    def _sampler(self, live: _Live, sampling: Sampling, begun: TokenizedPrompt) -> Sampler:
        return Sampler(sampling, seed=self._fresh_seed(), position=len(begun.answer))

    def _take(self, live: _Live, reuse: Reuse) -> int:
        if reuse.source != reuse.cache:
            live.caches.copy(reuse.source, reuse.cache, reuse.common)
        return reuse.common

    def _try(self, live: _Live, spec: ModelSpec) -> None:
        """A forward of one token: makes the caches, and shows whether this model can be batched."""
        try:
            self._run(live, [0], [Segment(0, 0, 0, 1)], [0])
        except torch.OutOfMemoryError as error:
            raise ModelFileError(
                f"model '{spec.id}': its cache of {spec.slots} x {spec.context_length} tokens does "
                f"not fit {live.opened.facts.device}: {first_line(error)}; use fewer slots or a "
                "shorter context"
            ) from None
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise ModelFileError(
                f"model '{spec.id}' ({live.opened.facts.architecture}) does not run in batches of "
                f"engine torch: {first_line(error)}; run it with another engine"
            ) from None

    def _evaluate(self, live: _Live, shares: Sequence[Share]) -> None:
        """And draws, since that waits for the GPU as well."""
        logits = self._forward(live, shares)
        self._drawn = self._draw([share for share in shares if share.sample], logits)

    def _forward(self, live: _Live, shares: Sequence[Share]) -> Any:
        """Evaluates the batch; logits of the last token of each share that samples, in order."""
        tokens: list[int] = []
        segments = []
        last = {}
        for share in sorted(shares, key=lambda share: share.count > 1):
            sequence = self._open[share.slot]
            first = sequence.evaluated
            segments.append(Segment(sequence.cache, first, len(tokens), share.count))
            tokens += sequence.tokens[first : first + share.count]
            last[share.slot] = len(tokens) - 1
        keep = [last[share.slot] for share in shares if share.sample] or [0]
        try:
            return self._run(live, tokens, segments, keep)
        except (RuntimeError, ValueError, ConfigError) as error:  # OutOfMemoryError is one as well
            raise EngineFailed(
                f"PyTorch could not evaluate a batch of {len(tokens)} tokens: {first_line(error)}"
            ) from None

    def _run(
        self, live: _Live, tokens: list[int], segments: Sequence[Segment], keep: list[int]
    ) -> Any:
        device = live.opened.device
        places = [p for s in segments for p in range(s.first, s.first + s.count)]
        self.forwards += 1
        with torch.inference_mode():
            return live.opened.model(
                input_ids=torch.tensor([tokens], device=device),
                position_ids=torch.tensor([places], device=device),
                use_cache=False,
                logits_to_keep=torch.tensor(keep, device=device),
                **{KEYWORD: Batch(live.caches, segments, device)},
            ).logits[0]

    def _draw(self, shares: Sequence[Share], logits: Any) -> dict[int, int | None]:
        """The next token of each share's slot; None where the model computed no numbers."""
        if not shares:
            return {}
        with torch.inference_mode():
            # One transfer for all rows, since each one waits for the GPU.
            likeliest, sound = torch.stack(
                (logits.argmax(-1), torch.isfinite(logits.amax(-1)).long())
            ).tolist()
            found: dict[int, int | None] = {}
            for row, share in enumerate(shares):
                sequence = self._open[share.slot]
                if not sound[row]:
                    found[share.slot] = None
                elif sequence.sampler.plain_greedy:
                    sequence.sampler.skip()
                    found[share.slot] = likeliest[row]
                else:
                    found[share.slot] = sequence.sampler.draw(logits[row], sequence.tokens)
            return found

    def _sample(self, live: _Live, running: Running[Sampler]) -> Sequence[Emission]:
        token = self._drawn[running.slot]
        if token is None:
            return (self._lose(live, running),)
        return self._say(live, running, token)

    def _lose(self, live: _Live, sequence: Running[Sampler]) -> Failed:
        """What is in its cache must neither be reused nor reach its neighbours."""
        live.caches.clear(sequence.cache)
        sequence.ended = True
        sequence.tokens, sequence.evaluated = [], 0
        return Failed(
            sequence.slot,
            EngineFailed(
                "the next token came out as no number (NaN or infinity); where the model's dtype "
                'is float16, set dtype = "bfloat16" or "float32"'
            ),
        )

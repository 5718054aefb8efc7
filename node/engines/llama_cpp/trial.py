"""``python -m node.engines.llama_cpp.trial MODEL``: tries grammars, started by the agent
(``node/models/forms/trials.py``), not by hand.

It loads the model's vocabulary and no weights. A grammar is followed for a while as an answer
would: what may come next is looked at over the whole vocabulary, and one of those is taken. Long
tokens are taken most often, since it is characters by which the ways through a grammar multiply.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import llama_cpp as llama
import numpy as np

from mesh.child.frames import Gone
from mesh.child.limits import limit_cpu
from mesh.child.parent import Parent
from mesh.errors import FormExplodes, InvalidRequest, ModelFileError, ProtocolError
from mesh.types import Sampling
from node.engines.llama_cpp.grammar import grammar_of
from node.engines.llama_cpp.sampling import Candidates, Grammar
from node.engines.llama_cpp.vocabulary import Vocabulary
from node.models.forms import messages as m

STEP_S = 0.25  # of CPU, for one step; a runner allows twice as much
BUDGET_S = 0.5  # of CPU, after which a grammar that has been well so far is taken for good
WALKS, TOKENS = 4, 48
_LONG = 64  # of the longest tokens that may come next, one is taken
_SHARE_LONG = 0.75
_MB = 1024 * 1024


class Walker:
    """``vocabulary``: of the live ``llama_model``."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        size = vocabulary.size
        self._candidates = Candidates(size)
        self._lengths = np.array([len(vocabulary.piece(token)) for token in range(size)])
        self._ends = np.array([vocabulary.ends_turn(token) for token in range(size)])

    def tried(self, number: int, sampling: Sampling) -> m.Tried:
        try:
            text = grammar_of(sampling)
            if text is not None:
                self._walk(text)
        except InvalidRequest as error:
            explodes = isinstance(error, FormExplodes)
            return m.Tried(number=number, wrong=error.message, explodes=explodes)
        return m.Tried(number=number, wrong="")

    def _walk(self, text: str) -> None:
        """Raises ``InvalidRequest``."""
        rng, until = Random(0), time.process_time() + BUDGET_S
        for _ in range(WALKS):
            grammar = Grammar(self._vocabulary.handle, text, self._candidates, limit_s=STEP_S)
            try:
                for _ in range(TOKENS):
                    token = self._next(grammar, rng)
                    if token is None or time.process_time() > until:
                        break
                    grammar.accept(token)
            finally:
                grammar.close()

    def _next(self, grammar: Grammar, rng: Random) -> int | None:
        """Some token that may come next; None: only an end may. Raises ``InvalidRequest``."""
        allowed = np.flatnonzero(grammar.allowed() & ~self._ends)
        if not len(allowed):
            return None
        if rng.random() < _SHARE_LONG:
            longest = np.argsort(-self._lengths[allowed], kind="stable")[:_LONG]
            allowed = allowed[longest]
        return int(allowed[rng.randrange(len(allowed))])


def open_vocabulary(source: str) -> tuple[Any, Vocabulary]:
    """The model that holds it, and the vocabulary. Raises ``ModelFileError``."""
    llama.llama_backend_init()
    parameters = llama.llama_model_default_params()
    parameters.vocab_only = True
    parameters.n_gpu_layers = 0
    model = llama.llama_model_load_from_file(source.encode(), parameters)
    if not model:
        raise ModelFileError(f"llama.cpp cannot read the vocabulary of {source}")
    return model, Vocabulary(model)


def limit_memory(megabytes: int) -> None:
    """So much more than is taken now, of memory that is this process's own."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        taken = next(int(line.split()[1]) for line in lines if line.startswith("VmData:"))
        most = taken * 1024 + megabytes * _MB
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m node.engines.llama_cpp.trial")
    parser.add_argument("source", help="the model's file")
    parser.add_argument("--memory-mb", type=int, required=True, help="for one trial")
    parser.add_argument("--fd", type=int, required=True, help="socket to the agent")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=arguments.fd) as connection:
        agent: Parent[m.Try, m.FromTrial] = Parent(connection, m.at_trial(), m.encode)
        with suppress(Gone, ProtocolError):
            try:
                _model, vocabulary = open_vocabulary(arguments.source)
            except ModelFileError as error:
                agent.send(m.Unable(message=error.message))
                agent.flush()
                return 0
            walker = Walker(vocabulary)
            limit_memory(arguments.memory_mb)
            agent.send(m.Ready())
            agent.flush()
            for message in agent.mail():
                limit_cpu(message.cpu_s)
                try:
                    verdict = walker.tried(message.number, message.sampling)
                except MemoryError:  # nobody knows what that left behind
                    os.abort()
                agent.send(verdict)
                agent.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())

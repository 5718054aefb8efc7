"""How an answer is drawn where its client did not say: settled once, behind the decision. Pure.

What the client said comes first, then the settings of the decided specialty, then the mesh's own.
What goes to a node is complete, so that whoever goes on with an answer draws as it began.

The mesh's own are llama.cpp's, with which llama-server and what is built upon it answer: warm
enough not to turn in circles, as small models do when they are greedy, and with the tail cut off.
Who wants the same answer twice says ``temperature=0`` or a seed.
"""

from __future__ import annotations

from dataclasses import replace

from mesh.errors import InternalError
from mesh.types import Decision, Manner, Message, Request, Role, SaidSampling, Sampling

DEFAULT_SAMPLING = Sampling(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05)
DEFAULT_MANNER = Manner(sampling=DEFAULT_SAMPLING)
SETTLED = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def settled(said: SaidSampling, default: Sampling = DEFAULT_SAMPLING) -> Sampling:
    """What was said, and of ``default`` what was not."""
    if isinstance(said, Sampling) and (said.max_tokens or default.max_tokens is None):
        return said
    chosen = {name: getattr(said, name) for name in SETTLED}
    open_ones = {name: getattr(default, name) for name in SETTLED if chosen[name] is None}
    return Sampling(
        **(chosen | open_ones),
        seed=said.seed,
        stop=said.stop,
        grammar=said.grammar,
        json_schema=said.json_schema,
    )


def complete(sampling: SaidSampling) -> Sampling:
    """As it is. Raises ``InternalError`` for what was not settled: it goes to no node."""
    if not isinstance(sampling, Sampling):
        raise InternalError("a request came to its nodes before its sampling was settled")
    return sampling


def has_system(request: Request) -> bool:
    """Whether the client gives the model a system text of its own."""
    return any(message.role is Role.SYSTEM for message in request.messages)


def mannered(request: Request, decision: Decision) -> Request:
    """The request as its node gets it: with everything settled, and the specialty's system text
    before it where the client has none. The same for all turns of a conversation, so that what a
    node has of them still begins alike."""
    manner = decision.manner or DEFAULT_MANNER
    return replace(
        request,
        sampling=settled(request.sampling, manner.sampling),
        messages=(*system_of(request, manner), *request.messages),
    )


def told(request: Request, decision: Decision) -> Decision:
    """With the manner in which this very request is answered, and not any of its specialty."""
    manner = decision.manner or DEFAULT_MANNER
    own = Manner(
        sampling=settled(request.sampling, manner.sampling),
        system="" if has_system(request) else manner.system,
    )
    return replace(decision, manner=own)


def system_of(request: Request, manner: Manner) -> tuple[Message, ...]:
    """What is put before its messages."""
    if not manner.system or has_system(request):
        return ()
    return (Message.of(Role.SYSTEM, manner.system),)

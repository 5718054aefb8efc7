"""The chain around an answer, from the outside in. Nothing here does anything itself.

What hangs on a decision (the log, the memo) stands behind it, where the decision is a value, and
not before it, where it would have to be fished out of the events.
"""

from __future__ import annotations

from mesh.clock import Clock
from mesh.quarantine.quarantine import Quarantine
from orchestrator.answering.admit import Door, admitted
from orchestrator.answering.ask import Answer
from orchestrator.answering.authorise import authorised
from orchestrator.answering.decide import Decider, decided
from orchestrator.answering.log import DecisionLog, logged
from orchestrator.answering.quarantined import quarantined
from orchestrator.answering.remember import recalled, remembered
from orchestrator.answering.trace import traced
from orchestrator.picture.affinity import Affinity


def chain(
    strategy: Answer,
    *,
    door: Door,
    decider: Decider,
    affinity: Affinity,
    quarantine: Quarantine,
    clock: Clock,
    name: str,
    max_request_bytes: int,
    log: DecisionLog | None,
    notes_in_traces: bool,
) -> Answer:
    """``strategy``: makes the answers that nobody remembers. The rest: see each link."""
    answer = recalled(strategy, affinity=affinity, clock=clock, name=name)
    answer = remembered(answer)
    if log is not None:
        answer = logged(answer, log)
    answer = decided(answer, decider, notes_in_traces=notes_in_traces)
    answer = admitted(answer, door)
    answer = quarantined(answer, quarantine)
    answer = authorised(answer, max_request_bytes=max_request_bytes)
    return traced(answer)

"""A chat template is tried in a process of its own before its model is loaded.

A template that breaks, hangs, or fills the memory would otherwise do so in one runner after the
other, at load or at the first prompt. ``python -m node.engines.template_trial`` is that process:
the template on standard input, what is wrong with it on standard output.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from mesh.child.ending import describe_exit
from mesh.child.limits import Limits, limit_cpu
from mesh.child.start import python, tethered
from mesh.cleaned import cleaned
from mesh.errors import CannotAnswer, ModelFileError
from mesh.types import Message, Role
from node.engines.chat_template import ChatTemplate, TemplateRefuses
from node.engines.turns import turns
from node.models.catalogue import CHATML

CPU_S = 4
MEMORY_BYTES = 256 * 1024 * 1024
WAIT_S = 30.0  # on a busy box
MOST_CHARS = 1024 * 1024  # of a conversation of a few words
MOST_SOURCE = 1024 * 1024
_USER = Message.of(Role.USER, "hello")
_TALK = (Message.of(Role.ASSISTANT, "hello, who are you?"), Message.of(Role.USER, "somebody"))
# The first that the template takes will do: some want a system's turn, some have no place for one.
TRIED: tuple[tuple[Message, ...], ...] = (
    (_USER,),
    (Message.of(Role.SYSTEM, "be brief"), _USER),
)
LONGER = (_USER, *_TALK, *_TALK)


def tried(source: str) -> str:
    """The template, when it works. Raises ``ModelFileError`` that says what is wrong with it.
    Blocks for a moment."""
    if source == CHATML:
        return source
    if len(source) > MOST_SOURCE:
        raise _broken(f"it has more than {MOST_SOURCE:,} characters")
    limits = Limits(data_bytes=MEMORY_BYTES, file_bytes=0, core_bytes=0)
    try:
        ended = subprocess.run(
            tethered(python("node.engines.template_trial"), limits),
            input=source.encode("utf-8", "replace"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WAIT_S,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise _broken(f"trying it takes more than {WAIT_S:g} s") from None
    except OSError as error:
        raise ModelFileError(f"the model's chat template cannot be tried: {error}") from None
    if ended.returncode == -signal.SIGXCPU:
        raise _broken(f"trying it takes more than {CPU_S} s")
    if ended.returncode:
        raise _broken(
            f"trying it takes more than {MEMORY_BYTES // 2**20} MB of memory, or breaks "
            f"({describe_exit(ended.returncode)})"
        )
    if ended.stdout:
        raise _broken(cleaned(ended.stdout, 300))
    return source


def wrong(source: str) -> str:
    """What is wrong with it, "" for nothing."""
    try:
        template = ChatTemplate(source, bos="<s>", eos="</s>")
    except ModelFileError as error:
        return error.message
    why = ""
    for messages in TRIED:
        why = _refusal(template, messages)
        if not why:
            # Refused or not, it must come to an end.
            why = _refusal(template, LONGER, only_limits=True)
            break
    return why


def _refusal(
    template: ChatTemplate, messages: Sequence[Message], *, only_limits: bool = False
) -> str:
    try:
        written = template.render(turns(messages))
    except TemplateRefuses as error:
        return "" if only_limits else error.message
    except CannotAnswer as error:
        return error.message
    if len(written) > MOST_CHARS:
        return f"it writes {len(written):,} characters for a few words; the limit is {MOST_CHARS:,}"
    return ""


def _broken(why: str) -> ModelFileError:
    return ModelFileError(
        f"the model's chat template does not work: {why}; use another build of this model"
    )


def main() -> int:
    source = sys.stdin.buffer.read().decode("utf-8", "replace")
    limit_cpu(CPU_S)
    sys.stdout.write(wrong(source))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Which node holds which conversation: a hint for placement, never more than that.

Requests carry their whole conversation, so nothing here is needed to answer one. A node that served
the turns before still has them in its prefix cache, and there the next answer begins sooner.

An orchestrator remembers where the answers went that it passed on, and where it sent clients with
a ticket (``Affinity``). One that never saw a conversation has ``origin_of``, which is the same on
all of them: what it begins with.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

from mesh.fleet.work import Home
from mesh.types import Image, Message, Role, Text, ToolCall, ToolResult

MAX_CONVERSATIONS = 32_768  # about 8 MB; the one that was not used for longest is forgotten
# A conversation that went from code to chat and comes back finds its code model again.
MAX_HOMES = 4
# A ticket serves several turns, of which the orchestrator sees only the first: so many turns are
# looked back over for it.
MOST_UNSEEN = 4
# Of a conversation only its first and last messages are looked at, and of those only both ends: a
# hint may be wrong, and a megabyte or a thousand turns cost as much as a few lines. Characters.
_FIRST, _LAST = 2, 6
_EDGE = 1024
_MOST_PARTS = 16  # of a message

_Hash = bytes


class Affinity:
    """Bounded memory of where conversations are. Not for several threads."""

    def __init__(self, limit: int = MAX_CONVERSATIONS) -> None:
        self._limit = limit
        self._homes: OrderedDict[_Hash, tuple[Home, ...]] = OrderedDict()
        self._sent = 0  # calls of ``sent``: nothing is looked for where no ticket was ever issued

    def __len__(self) -> int:
        return len(self._homes)

    def homes(self, tenant: str, messages: Sequence[Message]) -> tuple[Home, ...]:
        """Where the turns before the last message were answered, the newest first; empty for a new
        conversation, and for one that was served elsewhere or long ago."""
        if len(messages) < 2:
            return ()
        found = self._found(_hash(tenant, messages[:-1]))
        if found or not self._sent:
            return found
        asked = [n for n, message in enumerate(messages[:-1]) if message.role is Role.USER]
        for position in reversed(asked[-MOST_UNSEEN:]):
            if found := self._found(_hash(tenant, messages[: position + 1])):
                return found
        return ()

    def keep(
        self, tenant: str, messages: Sequence[Message], answer: str, home: Home | None
    ) -> None:
        """``messages`` were answered with ``answer`` at ``home``. None: by nobody's model (from
        memory, or by the router itself), so that the conversation is where it was."""
        self._note(
            _hash(tenant, (*messages, Message.of(Role.ASSISTANT, answer))),
            home,
            self.homes(tenant, messages),
        )

    def sent(self, tenant: str, messages: Sequence[Message], home: Home) -> None:
        """Whoever asks ``messages`` streams the answer straight from ``home``: with what words it
        ends is never known here, so the next turn is found by the words before them."""
        self._sent += 1
        self._note(_hash(tenant, messages), home, self.homes(tenant, messages))

    def _found(self, key: _Hash) -> tuple[Home, ...]:
        found = self._homes.get(key)
        if found is None:
            return ()
        self._homes.move_to_end(key)
        return found

    def _note(self, key: _Hash, home: Home | None, before: tuple[Home, ...]) -> None:
        homes = before if home is None else (home, *(each for each in before if each != home))
        if not homes:
            return
        self._homes[key] = homes[:MAX_HOMES]
        self._homes.move_to_end(key)
        while len(self._homes) > self._limit:
            self._homes.popitem(last=False)


def origin_of(tenant: str, messages: Sequence[Message]) -> bytes:
    """What stays the same through a conversation: tenant, system text and the first user turn."""
    first = next((n for n, message in enumerate(messages) if message.role is Role.USER), None)
    if first is None:
        return _hash(tenant, messages)
    opening = [message for message in messages[:first] if message.role is Role.SYSTEM]
    return _hash(tenant, (*opening, messages[first]))


def _hash(tenant: str, messages: Sequence[Message]) -> _Hash:
    """The same for the same conversation, whatever white space a client adds or strips at the ends
    of an answer."""
    digest = blake2b(digest_size=16)
    digest.update(f"{len(messages)}\0{tenant}".encode("utf-8", "replace"))
    if len(messages) > _FIRST + _LAST:
        messages = (*messages[:_FIRST], *messages[-_LAST:])
    for message in messages:
        text = message.text.strip()
        digest.update(f"\0{message.role}\0{len(text)}\0".encode())
        digest.update(_ends(text).encode("utf-8", "replace"))
        if message.plain:
            continue
        for part in message.parts[:_MOST_PARTS]:
            match part:
                case Text():
                    continue
                case Image(data=data, url=url):
                    said, ends = f"image\0{len(data)}\0{_ends(url)}", data[-_EDGE:]
                case ToolCall(id=call_id, name=name, arguments=arguments):
                    said, ends = f"call\0{call_id}\0{name}\0{_ends(arguments)}", b""
                case ToolResult(call_id=call_id, text=text):
                    said, ends = f"result\0{call_id}\0{_ends(text)}", b""
            digest.update(f"\0{said}\0".encode("utf-8", "replace"))
            digest.update(ends)
    return digest.digest()


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _EDGE else text[:_EDGE] + text[-_EDGE:]

"""The SDK, and beside it what every Squadron process speaks: records, transports, registry.

::

    import mesh

    async with mesh.connect("127.0.0.1:7700") as client:
        answer = await client.ask("Tom has 12 apples and buys 30 more. How many now?")
        print(answer, answer.done)
        async for chunk in client.generate("And with 7 more?"):
            print(chunk.text, end="", flush=True)
"""
# It imports neither ``node`` nor ``orchestrator``; both import it.

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mesh.version import __version__

if TYPE_CHECKING:
    from mesh import errors as errors
    from mesh.client.answer import (
        Answer,
    )
    from mesh.client.client import (
        Client,
        FleetOptions,
        connect,
    )
    from mesh.client.connecting import (
        ConnectOptions,
    )
    from mesh.client.conversation import (
        Conversation,
    )
    from mesh.client.embed import (
        EmbedOptions,
    )
    from mesh.client.prompt import (
        Prompt,
    )
    from mesh.client.request import (
        RequestOptions,
    )
    from mesh.client.stream import (
        Chunk,
        Events,
        EventStream,
        Generation,
    )
    from mesh.client.sync import (
        SyncClient,
        SyncConversation,
        SyncEvents,
        SyncGeneration,
        connect_sync,
    )
    from mesh.embedding import (
        Embeddings,
    )
    from mesh.errors import (
        AttemptFailed,
        Cancelled,
        CannotAnswer,
        ConfigError,
        ContextOverflow,
        DeadlineExceeded,
        EngineFailed,
        InternalError,
        InvalidRequest,
        MeshError,
        NoCandidate,
        NodeLost,
        NotResumable,
        NotServed,
        Overloaded,
        ProtocolError,
        Quarantined,
        UnknownModel,
        UnknownSpecialty,
        Unreachable,
    )
    from mesh.stream import (
        Assigned,
        Decided,
        Done,
        FleetStatus,
        NodeStatus,
        Progress,
        Ready,
        Resume,
        Route,
        StreamEvent,
        Tokens,
        Waiting,
    )
    from mesh.types import (
        Candidate,
        Decision,
        FinishReason,
        Image,
        Message,
        Part,
        Piece,
        Priority,
        Role,
        Text,
        ToolCall,
        ToolResult,
    )

# Where each name is, so that a node agent or a runner does not import gRPC for the SDK's sake.
_FACE = {
    "mesh.client.answer": ("Answer",),
    "mesh.client.client": (
        "Client",
        "FleetOptions",
        "connect",
    ),
    "mesh.client.connecting": ("ConnectOptions",),
    "mesh.client.conversation": ("Conversation",),
    "mesh.client.embed": ("EmbedOptions",),
    "mesh.client.prompt": ("Prompt",),
    "mesh.client.request": ("RequestOptions",),
    "mesh.client.stream": (
        "Chunk",
        "Events",
        "EventStream",
        "Generation",
    ),
    "mesh.client.sync": (
        "SyncClient",
        "SyncConversation",
        "SyncEvents",
        "SyncGeneration",
        "connect_sync",
    ),
    "mesh.embedding": ("Embeddings",),
    "mesh.errors": (
        "AttemptFailed",
        "Cancelled",
        "CannotAnswer",
        "ConfigError",
        "ContextOverflow",
        "DeadlineExceeded",
        "EngineFailed",
        "InternalError",
        "InvalidRequest",
        "MeshError",
        "NoCandidate",
        "NodeLost",
        "NotResumable",
        "NotServed",
        "Overloaded",
        "ProtocolError",
        "Quarantined",
        "UnknownModel",
        "UnknownSpecialty",
        "Unreachable",
    ),
    "mesh.stream": (
        "Assigned",
        "Decided",
        "Done",
        "FleetStatus",
        "NodeStatus",
        "Progress",
        "Ready",
        "Resume",
        "Route",
        "StreamEvent",
        "Tokens",
        "Waiting",
    ),
    "mesh.types": (
        "Candidate",
        "Decision",
        "FinishReason",
        "Image",
        "Message",
        "Part",
        "Piece",
        "Priority",
        "Role",
        "Text",
        "ToolCall",
        "ToolResult",
    ),
}
_HOME = {name: module for module, names in _FACE.items() for name in names}
_MODULES = ("errors",)

__all__ = [
    "Answer",
    "Assigned",
    "AttemptFailed",
    "Cancelled",
    "Candidate",
    "CannotAnswer",
    "Chunk",
    "Client",
    "ConfigError",
    "ConnectOptions",
    "ContextOverflow",
    "Conversation",
    "DeadlineExceeded",
    "Decided",
    "Decision",
    "Done",
    "EmbedOptions",
    "Embeddings",
    "EngineFailed",
    "EventStream",
    "Events",
    "FinishReason",
    "FleetOptions",
    "FleetStatus",
    "Generation",
    "Image",
    "InternalError",
    "InvalidRequest",
    "MeshError",
    "Message",
    "NoCandidate",
    "NodeLost",
    "NodeStatus",
    "NotResumable",
    "NotServed",
    "Overloaded",
    "Part",
    "Piece",
    "Priority",
    "Progress",
    "Prompt",
    "ProtocolError",
    "Quarantined",
    "Ready",
    "RequestOptions",
    "Resume",
    "Role",
    "Route",
    "StreamEvent",
    "SyncClient",
    "SyncConversation",
    "SyncEvents",
    "SyncGeneration",
    "Text",
    "Tokens",
    "ToolCall",
    "ToolResult",
    "UnknownModel",
    "UnknownSpecialty",
    "Unreachable",
    "Waiting",
    "__version__",
    "connect",
    "connect_sync",
    "errors",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"mesh.{name}")
    # With both, Python asks whether another name was meant.
    raise AttributeError(
        f"module 'mesh' has no attribute {name!r}", name=name, obj=sys.modules[__name__]
    )


def __dir__() -> list[str]:
    return __all__

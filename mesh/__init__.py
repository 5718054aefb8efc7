"""The SDK's face, and beside it what every Squadron process speaks: records, transports, registry.

::

    import mesh

    async with mesh.connect("127.0.0.1:7700") as client:
        generation = client.generate("Tom has 12 apples and buys 30 more. How many now?")
        async for chunk in generation:
            print(chunk.text, end="", flush=True)
        print(generation.done)

``mesh`` imports neither ``node`` nor ``orchestrator``; both import ``mesh``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mesh.version import __version__

if TYPE_CHECKING:
    from mesh.client.client import Client, connect
    from mesh.client.conversation import Conversation
    from mesh.client.embed import EmbedOptions
    from mesh.client.request import Prompt, RequestOptions
    from mesh.client.stream import Chunk, Events, EventStream, Generation
    from mesh.client.sync import (
        SyncClient,
        SyncConversation,
        SyncEvents,
        SyncGeneration,
        connect_sync,
    )
    from mesh.embedding import Embeddings
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
    )
    from mesh.types import Image, Message, Priority, Role, Text, ToolCall, ToolResult

# Where each name is, so that a node agent or a runner does not import gRPC for the SDK's sake.
_FACE = {
    "mesh.client.client": ("Client", "connect"),
    "mesh.client.conversation": ("Conversation",),
    "mesh.client.embed": ("EmbedOptions",),
    "mesh.client.request": ("Prompt", "RequestOptions"),
    "mesh.client.stream": ("Chunk", "EventStream", "Events", "Generation"),
    "mesh.client.sync": (
        "SyncClient",
        "SyncConversation",
        "SyncEvents",
        "SyncGeneration",
        "connect_sync",
    ),
    "mesh.embedding": ("Embeddings",),
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
    ),
    "mesh.types": ("Image", "Message", "Priority", "Role", "Text", "ToolCall", "ToolResult"),
}
_HOME = {name: module for module, names in _FACE.items() for name in names}

__all__ = [
    "Assigned",
    "Chunk",
    "Client",
    "Conversation",
    "Decided",
    "Done",
    "EmbedOptions",
    "Embeddings",
    "EventStream",
    "Events",
    "FleetStatus",
    "Generation",
    "Image",
    "Message",
    "NodeStatus",
    "Priority",
    "Progress",
    "Prompt",
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
    "__version__",
    "connect",
    "connect_sync",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'mesh' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

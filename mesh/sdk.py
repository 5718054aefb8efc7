"""The public client of a mesh. ``import mesh; mesh.connect(…)`` is the same.

::

    async with mesh.connect("127.0.0.1:7700") as client:
        generation = client.generate("Tom has 12 apples and buys 30 more. How many now?")
        async for chunk in generation:
            print(chunk.text, end="", flush=True)
        print(generation.done)
"""

from mesh.client.client import Client, Options, Prompt, connect
from mesh.client.conversation import Conversation
from mesh.client.embed import EmbedOptions
from mesh.client.stream import Chunk, Events, EventStream, Generation
from mesh.client.sync import SyncClient, SyncGeneration, connect_sync
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
from mesh.types import Message, Priority, Role

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
    "Message",
    "NodeStatus",
    "Options",
    "Priority",
    "Progress",
    "Prompt",
    "Ready",
    "Resume",
    "Role",
    "Route",
    "StreamEvent",
    "SyncClient",
    "SyncGeneration",
    "Tokens",
    "connect",
    "connect_sync",
]

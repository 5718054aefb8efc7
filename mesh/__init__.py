"""What every Squadron process speaks: records, errors, transports, registry, SDK and CLI.

``mesh`` imports neither ``node`` nor ``orchestrator``; both import ``mesh``.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mesh.sdk import Client, connect, connect_sync

__all__ = ["Client", "__version__", "connect", "connect_sync"]


def __getattr__(name: str) -> Any:
    # Lazy, so that a node agent or a runner does not import gRPC for the SDK's sake.
    if name in ("Client", "connect", "connect_sync"):
        from mesh import sdk

        return getattr(sdk, name)
    raise AttributeError(f"module 'mesh' has no attribute {name!r}")

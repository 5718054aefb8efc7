"""The SDK's parts; ``mesh`` is the door."""

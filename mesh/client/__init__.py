"""The SDK's parts; ``mesh/sdk.py`` is the door."""

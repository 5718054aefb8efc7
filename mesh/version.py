"""The version of this code, apart from the SDK's face, so that nothing circles back to that."""

__version__ = "0.2.0"

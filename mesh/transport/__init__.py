"""The data plane: one interface (``base``), ZeroMQ and in-memory implementations."""

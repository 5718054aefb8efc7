"""The data plane: one interface (``base``); ZeroMQ, gRPC and in-memory implementations."""

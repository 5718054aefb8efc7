"""The data plane: one interface (``base``); ZeroMQ, gRPC and the twin implement it."""

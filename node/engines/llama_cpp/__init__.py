"""Engine ``llama_cpp``: GGUF models on llama.cpp's low-level API, one decode for all slots."""

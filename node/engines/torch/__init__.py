"""Engine ``torch``: ``transformers`` models from safetensors, on CUDA or the CPU."""

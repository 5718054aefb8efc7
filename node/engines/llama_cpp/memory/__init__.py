"""What a GGUF model takes in llama.cpp, before it is loaded: pure, beside the engine."""

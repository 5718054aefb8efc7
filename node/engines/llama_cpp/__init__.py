"""Engine ``llama_cpp``: GGUF models on llama.cpp's low-level API, one decode for all slots."""

import os
import sys

# A runner is told which llama.cpp is its own (``cuda/kept.py``), before anything imports one.
if _own := os.environ.get("SQUADRON_LLAMA_CPP"):
    sys.path.insert(0, _own)

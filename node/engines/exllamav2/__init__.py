"""Engine ``exllamav2``: EXL2 and GPTQ weights on a CUDA GPU, by its dynamic generator."""

"""Models of the Hugging Face hub: which file is meant, what is in the cache, how it gets there.

The cache is the hub's own (``huggingface_hub``: layout, locks, HF_HOME, HF_TOKEN, HF_ENDPOINT), so
that other tools find what is pulled here, and the other way round. What that library does not do is
done here: picking a file by its quantisation, going on with half a file after the process that
loaded it has ended, and holding what came against its SHA-256.
"""

"""Makes what the router's stages decide by: the classifier's weights, the embedding's exemplars."""

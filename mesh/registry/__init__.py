"""The registry: who is there. ``base`` states the guarantees, ``etcd`` and ``memory`` keep them."""

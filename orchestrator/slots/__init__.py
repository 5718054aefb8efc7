"""Who waits for what: a bounded queue, and the slots that are free now."""

"""From a decision to a finished answer: tries on nodes that make one stream."""

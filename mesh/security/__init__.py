"""Who may do what: tickets to stream straight from a node."""

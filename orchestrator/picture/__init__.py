"""What this process sees of the fleet: records, links, who is silent, who holds what."""
